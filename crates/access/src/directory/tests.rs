//! Names, numbers, traces that go, and policies.

use super::*;
use crate::entity::{Members, Role, RowPolicy};
use crate::privilege::Privilege;
use crate::rights::Object;

fn role(n: u128, name: &str) -> Entity {
    Entity { id: Uuid::from_u128(n), name: name.to_owned(), from_file: false, what: What::Role(Role::default()) }
}

fn policy(n: u128, filter: &str, restrictive: bool, to: Members) -> Entity {
    let policy = RowPolicy {
        short_name: format!("p{n}"),
        database: "d".to_owned(),
        stream: "s".to_owned(),
        filter: Some(filter.to_owned()),
        restrictive,
        to,
    };
    Entity { id: Uuid::from_u128(n), name: format!("p{n} ON d.s"), from_file: false, what: What::Policy(policy) }
}

fn ids(list: &[u128]) -> BTreeSet<Uuid> {
    list.iter().map(|n| Uuid::from_u128(*n)).collect()
}

#[test]
fn a_name_is_taken_once_and_a_rename_frees_it() {
    let mut all = Directory::default();
    all.put(role(1, "a")).unwrap();
    assert_eq!(all.put(role(2, "a")).unwrap_err().code, Code::ACCESS_ENTITY_ALREADY_EXISTS);
    all.put(role(1, "b")).unwrap();
    all.put(role(2, "a")).unwrap();
    assert_eq!(all.find(Kind::Role, "b").unwrap().id, Uuid::from_u128(1));
    assert_eq!(all.existing(Kind::User, "a").unwrap_err().code, Code::UNKNOWN_USER);
}

#[test]
fn entities_of_the_file_are_read_only_and_replaced_as_a_whole() {
    let mut all = Directory::default();
    all.put(role(1, "mine")).unwrap();
    let id = file_id(Kind::Role, "theirs");
    all.replace_file(vec![Entity { id, ..role(0, "theirs") }]);
    assert_eq!(all.remove(id).unwrap_err().code, Code::ACCESS_STORAGE_READONLY);
    assert_eq!(all.put(Entity { id, ..role(0, "theirs") }).unwrap_err().code, Code::ACCESS_STORAGE_READONLY);
    all.replace_file(Vec::new());
    assert!(all.get(id).is_none() && all.find(Kind::Role, "theirs").is_none());
    assert!(all.find(Kind::Role, "mine").is_some());
}

#[test]
fn roles_reach_through_roles_and_a_dropped_one_leaves_no_trace() {
    let mut all = Directory::default();
    for (n, name, of) in [(1, "a", vec![2]), (2, "b", vec![3]), (3, "c", vec![1])] {
        let mut role = role(n, name);
        let (rights, granted) = role.grantee_mut().unwrap();
        rights.grant(Privilege::SELECT.into(), &Object::database(name), false);
        granted.roles = ids(&of);
        all.put(role).unwrap();
    }
    assert_eq!(all.closure([Uuid::from_u128(1)]), ids(&[1, 2, 3]));
    assert!(all.has_circle(Uuid::from_u128(1)));
    let user = role(9, "u");
    let rights = all.rights(&user, &ids(&[1, 2]));
    assert!(rights.has(Privilege::SELECT.into(), &Object::database("a")));
    assert!(!rights.has(Privilege::SELECT.into(), &Object::database("c")));
    let changed = all.remove(Uuid::from_u128(2)).unwrap();
    assert_eq!(changed.len(), 1);
    assert_eq!(all.closure([Uuid::from_u128(1)]), ids(&[1]));
}

#[test]
fn permissive_policies_add_rows_and_restrictive_ones_take_them() {
    let mut all = Directory::default();
    let to = |n: u128| Members { ids: ids(&[n]), ..Members::default() };
    let filter = |all: &Directory, user: u128| all.row_filters(&ids(&[user]), "d", "s").map(|f| f.condition());
    assert_eq!(filter(&all, 7), None);
    all.put(policy(1, "x = 1", false, to(7))).unwrap();
    assert_eq!(filter(&all, 7).unwrap(), "((x = 1))");
    assert_eq!(filter(&all, 8).unwrap(), "0", "nobody else sees a row");
    all.put(policy(2, "x = 2", false, Members::all())).unwrap();
    all.put(policy(3, "y", true, Members { except: ids(&[8]), ..Members::all() })).unwrap();
    assert_eq!(filter(&all, 7).unwrap(), "((x = 1) OR (x = 2)) AND (y)");
    assert_eq!(filter(&all, 8).unwrap(), "((x = 2))");
    assert_eq!(all.row_filters(&ids(&[7]), "d", "t"), None);
}

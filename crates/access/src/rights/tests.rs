//! The tree against a list of grants and revokes that is read from its end.

use super::*;

/// What the last statement that concerns a privilege on a leaf says: the plainest reading of GRANT and REVOKE.
struct Script(Vec<(bool, Privileges, Object)>);

fn within(on: &Object, thing: &Object) -> bool {
    let fits = |a: &Option<String>, b: &Option<String>| a.is_none() || a == b;
    fits(&on.database, &thing.database) && fits(&on.stream, &thing.stream) && fits(&on.column, &thing.column)
}

impl Script {
    fn holds(&self, privilege: Privilege, leaf: &Object) -> bool {
        let concerns = |(_, set, on): &&(bool, Privileges, Object)| {
            set.contains(privilege.into()) && privilege.level() >= on.level() && within(on, leaf)
        };
        self.0.iter().rev().find(concerns).is_some_and(|(grant, ..)| *grant)
    }
}

fn things() -> Vec<Object> {
    let mut all = vec![Object::ANY];
    for d in ["a", "b"] {
        all.push(Object::database(d));
        for s in ["s", "t"] {
            let stream = Object::stream(d, s);
            all.extend(["x", "y"].map(|c| stream.column(c)));
            all.push(stream);
        }
    }
    all
}

/// Every sequence of three statements over all things, for a privilege of each level.
#[test]
fn the_tree_says_what_the_statements_say() {
    let things = things();
    let leaves: Vec<&Object> = things.iter().filter(|t| t.column.is_some()).collect();
    let mut steps = Vec::new();
    for grant in [true, false] {
        steps.extend(things.iter().map(|t| (grant, Privileges::from(Privilege::SELECT), t.clone())));
    }
    let mut checked = 0;
    for a in &steps {
        for b in &steps {
            for c in steps.iter().step_by(9) {
                let script = Script(vec![a.clone(), b.clone(), c.clone()]);
                let mut rights = Rights::default();
                for (grant, set, on) in &script.0 {
                    if *grant { rights.grant(*set, on, false) } else { rights.revoke(*set, on, false) }
                }
                for leaf in &leaves {
                    assert_eq!(
                        rights.has(Privilege::SELECT.into(), leaf),
                        script.holds(Privilege::SELECT, leaf),
                        "{:?} on {leaf:?}",
                        script.0
                    );
                }
                for thing in &things {
                    let inside = || leaves.iter().filter(|l| within(thing, l));
                    if rights.has(Privilege::SELECT.into(), thing) {
                        assert!(inside().all(|l| script.holds(Privilege::SELECT, l)), "{:?} {thing:?}", script.0);
                    }
                    if inside().any(|l| script.holds(Privilege::SELECT, l)) {
                        assert!(rights.has_any(Privilege::SELECT.into(), thing), "{:?} {thing:?}", script.0);
                    }
                }
                assert_eq!(Rights::from(rights.lines()), rights, "{:?}", script.0);
                checked += 1;
            }
        }
    }
    assert_eq!(checked, steps.len() * steps.len() * steps.len().div_ceil(9));
}

#[test]
fn every_privilege_holds_on_what_it_may_be_granted_on_and_nowhere_else() {
    for privilege in Privilege::all() {
        for on in [Object::ANY, Object::database("a"), Object::stream("a", "s"), Object::stream("a", "s").column("x")] {
            let mut rights = Rights::default();
            rights.grant(privilege.into(), &on, true);
            let fits = privilege.level() >= on.level();
            assert_eq!(rights.has(privilege.into(), &on), fits, "{} on {on:?}", privilege.name());
            assert_eq!(rights.may_grant(privilege.into(), &on), fits);
            assert!(!rights.has(privilege.into(), &Object::ANY) || on == Object::ANY);
            assert!(!rights.has_any(privilege.into(), &Object::database("b")) || on == Object::ANY);
            for other in Privilege::all().filter(|p| *p != privilege) {
                assert!(!rights.has(other.into(), &on));
            }
            rights.revoke(privilege.into(), &on, true);
            assert_eq!(rights.has(privilege.into(), &on), fits);
            assert!(!rights.may_grant(privilege.into(), &on));
            rights.revoke(privilege.into(), &on, false);
            assert!(rights.is_empty());
        }
    }
}

#[test]
fn union_holds_what_either_holds() {
    let things = things();
    let made = |grant: &Object, revoke: &Object| {
        let mut rights = Rights::default();
        rights.grant(Privilege::SELECT.into(), grant, false);
        rights.revoke(Privilege::SELECT.into(), revoke, false);
        rights
    };
    for a in &things {
        for b in &things {
            let (one, two) = (made(a, b), made(b, &Object::stream("a", "s")));
            let both = one.union(&two);
            for leaf in things.iter().filter(|t| t.column.is_some()) {
                let held = |r: &Rights| r.has(Privilege::SELECT.into(), leaf);
                assert_eq!(held(&both), held(&one) || held(&two), "{a:?} {b:?} {leaf:?}");
            }
        }
    }
}

#[test]
fn lines_are_short() {
    let mut rights = Rights::everything();
    rights.revoke(Privileges::named("ACCESS MANAGEMENT").unwrap(), &Object::ANY, false);
    rights.revoke(Privilege::SELECT.into(), &Object::database("a"), false);
    let t = Object::stream("b", "t");
    let mut narrow = Rights::default();
    ["x", "y"].iter().for_each(|c| narrow.grant(Privilege::SELECT.into(), &t.column(c), false));
    let text = |r: &Rights| -> Vec<String> {
        let say = |l: Line| {
            let verb = if l.revoke { "-" } else { "+" };
            format!("{verb}{} {:?} {}", l.privileges.join(","), l.columns, l.on.database.unwrap_or_default())
        };
        r.lines().into_iter().map(say).collect()
    };
    assert_eq!(text(&narrow), [r#"+SELECT ["x", "y"] b"#]);
    assert_eq!(text(&rights).len(), 2);
    assert_eq!(text(&rights)[1], "-SELECT [] a");
    assert_eq!(text(&Rights::everything()), ["+ALL [] "]);
}

#[test]
fn what_one_may_use_one_may_see() {
    let mut rights = Rights::default();
    rights.grant(Privilege::SELECT.into(), &Object::stream("a", "s").column("x"), false);
    assert!(rights.may_see(Privilege::SHOW_DATABASES, &Object::database("a")));
    assert!(rights.may_see(Privilege::SHOW_TABLES, &Object::stream("a", "s")));
    assert!(!rights.may_see(Privilege::SHOW_TABLES, &Object::stream("a", "t")));
    assert!(!rights.may_see(Privilege::SHOW_DATABASES, &Object::database("b")));
    let mut global = Rights::default();
    global.grant(Privilege::KILL_QUERY.into(), &Object::ANY, false);
    assert!(!global.may_see(Privilege::SHOW_DATABASES, &Object::database("a")));
}

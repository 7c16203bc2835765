//! `information_schema`: what the SQL standard calls the catalog, as views of system tables.
//!
//! In: a name, in small or in capital letters. Out: the view. Promise: whoever asks sees what the system tables show to them; columns are
//! written as the database is.

use hydron_plan::ViewInfo;
use std::sync::Arc;
use uuid::Uuid;

const DATABASES: [&str; 2] = ["information_schema", "INFORMATION_SCHEMA"];

const NULLS_OF_SCHEMATA: &str = "null AS default_character_set_catalog, null AS default_character_set_schema, \
    null AS default_character_set_name, null AS sql_path";

const NULLS_OF_COLUMNS: &str = "null AS character_set_catalog, null AS character_set_schema, null AS character_set_name, \
    null AS collation_catalog, null AS collation_schema, null AS collation_name, null AS domain_catalog, \
    null AS domain_schema, null AS domain_name";

pub fn is_database(name: &str) -> bool {
    DATABASES.contains(&name)
}

pub fn table_names() -> Vec<String> {
    ["columns", "schemata", "tables", "views"].map(str::to_owned).to_vec()
}

/// The view `database.name`.
pub fn view(database: &str, name: &str) -> Option<Arc<ViewInfo>> {
    if !is_database(database) {
        return None;
    }
    let kind = "multi_if(is_temporary = 1, 'LOCAL TEMPORARY', engine LIKE '%View', 'VIEW', \
        engine = 'System', 'SYSTEM VIEW', has_own_data = 0, 'FOREIGN TABLE', 'BASE TABLE')";
    let (columns, select): (&[&str], String) = match name.to_ascii_lowercase().as_str() {
        "schemata" => (
            &[
                "catalog_name",
                "schema_name",
                "schema_owner",
                "default_character_set_catalog",
                "default_character_set_schema",
                "default_character_set_name",
                "sql_path",
            ],
            format!("SELECT name AS c, name AS s, 'default' AS o, {NULLS_OF_SCHEMATA} FROM system.databases"),
        ),
        "tables" => (
            &["table_catalog", "table_schema", "table_name", "table_type", "table_comment"],
            format!("SELECT database AS c, database AS s, name AS n, {kind} AS k, comment AS m FROM system.streams"),
        ),
        "views" => (
            &[
                "table_catalog",
                "table_schema",
                "table_name",
                "view_definition",
                "check_option",
                "is_updatable",
                "is_insertable_into",
                "is_trigger_updatable",
                "is_trigger_deletable",
                "is_trigger_insertable_into",
            ],
            "SELECT database AS c, database AS s, name AS n, as_select AS d, 'NONE' AS o, 'NO' AS u, \
             if(engine = 'MaterializedView', 'YES', 'NO') AS i, 'NO' AS tu, 'NO' AS td, 'NO' AS ti \
             FROM system.streams WHERE engine LIKE '%View'"
                .to_string(),
        ),
        "columns" => (
            &[
                "table_catalog",
                "table_schema",
                "table_name",
                "column_name",
                "ordinal_position",
                "column_default",
                "is_nullable",
                "data_type",
                "character_maximum_length",
                "character_octet_length",
                "numeric_precision",
                "numeric_precision_radix",
                "numeric_scale",
                "datetime_precision",
                "character_set_catalog",
                "character_set_schema",
                "character_set_name",
                "collation_catalog",
                "collation_schema",
                "collation_name",
                "domain_catalog",
                "domain_schema",
                "domain_name",
                "column_comment",
                "column_type",
            ],
            format!(
                "SELECT database AS c, database AS s, table AS t, name AS n, position AS p, default_expression AS d, \
                 type LIKE 'nullable(%' AS nu, type AS ty, character_octet_length AS cm, character_octet_length AS co, \
                 numeric_precision AS np, numeric_precision_radix AS nr, numeric_scale AS ns, datetime_precision AS dp, \
                 {NULLS_OF_COLUMNS}, comment AS cc, type AS ct FROM system.columns"
            ),
        ),
        _ => return None,
    };
    let written = |column: &&str| match database {
        "information_schema" => Arc::from(*column),
        _ => Arc::from(column.to_ascii_uppercase()),
    };
    Some(Arc::new(ViewInfo {
        database: Arc::from(database),
        name: Arc::from(name),
        uuid: Uuid::nil(),
        select,
        columns: columns.iter().map(written).collect(),
        comment: String::new(),
        owner: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_view_is_a_query_with_as_many_columns_as_names() {
        for name in table_names() {
            let view = view("INFORMATION_SCHEMA", &name.to_uppercase()).unwrap();
            let parsed = hydron_sql::parse_statement(&view.select).unwrap().statement.kind;
            let hydron_sql::ast::StatementKind::Query(query) = parsed else { panic!("{}", view.select) };
            let hydron_sql::ast::QueryBody::Select(select) = query.body else { panic!("{}", view.select) };
            assert_eq!(select.projection.len(), view.columns.len(), "{name}");
        }
        assert!(view("information_schema", "nobody").is_none() && view("default", "tables").is_none());
    }
}

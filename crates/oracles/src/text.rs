//! Statements and names of types.

use hydron_sql::{parse_expression, parse_many, parse_statement};
use hydron_types::{TypeNames, parse_type_lenient};

/// A text: alone, as one of several, and as an expression. Whatever parses has a text.
pub fn sql(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(parsed) = parse_statement(text) {
        assert!(!parsed.statement.to_string().is_empty());
    }
    if let Ok(expression) = parse_expression(text) {
        assert!(!expression.to_string().is_empty());
    }
    let _ = parse_many(text);
}

/// What parses prints as a text of the same tree.
pub fn sql_print(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(parsed) = parse_statement(text) {
        let printed = parsed.statement.to_string();
        let again =
            parse_statement(&printed).unwrap_or_else(|e| panic!("the printed text does not parse: {e}\n{printed}"));
        assert_eq!(again.statement, parsed.statement, "another tree from: {printed}");
    }
    if let Ok(expression) = parse_expression(text) {
        let printed = expression.to_string();
        let again =
            parse_expression(&printed).unwrap_or_else(|e| panic!("the printed text does not parse: {e}\n{printed}"));
        assert_eq!(again, expression, "another tree from: {printed}");
    }
}

/// The name of a type that parses prints, in both dialects, as a name of the same type.
pub fn type_name(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(ty) = parse_type_lenient(text) else { return };
    for names in [TypeNames::Proton, TypeNames::ClickHouse] {
        let printed = names.of(&ty);
        let again = parse_type_lenient(&printed).unwrap_or_else(|e| panic!("{printed}: {e}"));
        assert_eq!(again, ty, "another type from: {printed}");
    }
}

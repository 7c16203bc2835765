//! Operands of set operations in parentheses stand among the others, as ClickHouse prints them. The operators keep their order.

use hydron_sql::ast::{Query, QueryBody, SetOperator};

pub(super) fn flatten(query: &mut Query) {
    flatten_body(&mut query.body);
}

fn flatten_body(body: &mut QueryBody) {
    while let QueryBody::Nested(query) = body
        && query.pipe.is_empty()
    {
        let inner = query.body.clone();
        *body = inner;
    }
    let QueryBody::Set(set) = body else { return };
    flatten_body(&mut set.first);
    let mut rest: Vec<(SetOperator, QueryBody)> = Vec::new();
    for (operator, mut operand) in std::mem::take(&mut set.rest) {
        flatten_body(&mut operand);
        match operand {
            QueryBody::Set(inner) => {
                rest.push((operator, inner.first));
                rest.extend(inner.rest);
            }
            other => rest.push((operator, other)),
        }
    }
    if let QueryBody::Set(first) = &set.first {
        let first = first.clone();
        set.first = first.first;
        set.rest = first.rest.into_iter().chain(rest).collect();
    } else {
        set.rest = rest;
    }
}

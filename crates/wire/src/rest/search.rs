//! A query in JSON, its answer as it is made.

use super::call::Call;
use super::fields::{Fields, wrong};
use super::reply::Failure;
use crate::http::route::{Body, answered};
use crate::http::session::Lease;
use ::http::{Response, StatusCode};
use hydron_base::{Code, Error, Result};
use hydron_engine::Input;
use hydron_sql::ast::{
    Asterisk, ExprKind, FromClause, Limit, Literal, Query, QueryBody, Select, Span, Statement, StatementKind,
    TableExpr, TableExprKind,
};
use hyper::body::Incoming;

/// Rows of a page when only its offset is given.
const PAGE_ROWS_MAX: i64 = i64::MAX;

/// `{"query", "mode"?, "offset"?, "page_size"?}`: the rows as JSONCompact, or as the parameter `default_format` says.
pub(super) async fn search(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let text = fields.name("query")?;
    let page = page(fields.opt_int("offset")?, fields.opt_int("page_size")?)?;
    let mut options = call.options()?;
    match fields.opt_text("mode")? {
        None | Some("" | "standard" | "verbose") => {}
        Some("table") => options.settings.set("query_mode", "table")?,
        Some(_) => return Err(wrong("mode", "standard, verbose or table").into()),
    }
    if !options.settings.is_changed("default_format") {
        options.settings.set("default_format", "JSONCompact")?;
    }
    // Errors of the query are the server's answer, not the request's fault.
    let of_query = |e: Error| match Failure::from(e) {
        failure if failure.status == StatusCode::NOT_IMPLEMENTED => failure,
        failure => Failure { status: StatusCode::INTERNAL_SERVER_ERROR, ..failure },
    };
    let text = match page {
        Some(page) => paged(text, page).map_err(of_query)?,
        None => text.to_string(),
    };
    let mut session = Lease::Own(call.session());
    let running = call.app.engine.execute(&mut session, text, Input::None, options).await.map_err(of_query)?;
    let head = call.app.begin(running, session, call.request.accepts).await.map_err(of_query)?;
    Ok(answered(head, &call.app.engine.options().display_name))
}

struct Page {
    offset: u64,
    rows: u64,
}

fn page(offset: Option<i64>, rows: Option<i64>) -> Result<Option<Page>> {
    if offset.is_none() && rows.is_none() {
        return Ok(None);
    }
    let number =
        |value: i64, name: &str| u64::try_from(value).map_err(|_| wrong(name, "an integer that is not negative"));
    Ok(Some(Page {
        offset: number(offset.unwrap_or(0), "offset")?,
        rows: number(rows.unwrap_or(PAGE_ROWS_MAX), "page_size")?,
    }))
}

/// `SELECT * FROM (query) LIMIT offset, rows`, with what the query says about its output and settings.
fn paged(text: &str, page: Page) -> Result<String> {
    let parsed = hydron_sql::parse_statement(text)?;
    if !text[parsed.end..].trim().is_empty() {
        return Err(Error::new(Code::SYNTAX_ERROR, "one query was expected, more text follows"));
    }
    let Statement { kind: StatementKind::Query(mut query), output, span } = parsed.statement else {
        return Err(Error::new(Code::INCORRECT_QUERY, "only the rows of a SELECT have pages"));
    };
    let settings = match &mut query.body {
        QueryBody::Select(select) => std::mem::take(&mut select.settings),
        _ => Vec::new(),
    };
    let number = |n: u64| Some(Literal::UInt(n).into());
    let subquery = TableExpr {
        kind: TableExprKind::Subquery(query),
        alias: None,
        is_final: false,
        sample: None,
        span: Span::default(),
    };
    let select = Select {
        projection: vec![ExprKind::Asterisk(Box::<Asterisk>::default()).into()],
        from: Some(FromClause { first: Some(subquery), rest: Vec::new() }),
        limit: Some(Limit { count: number(page.rows), offset: number(page.offset), with_ties: false }),
        settings,
        ..Select::default()
    };
    let query = Query { body: QueryBody::Select(Box::new(select)), pipe: Vec::new(), span: Span::default() };
    Ok(Statement { kind: StatementKind::Query(Box::new(query)), output, span }.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_limit_around_the_query() {
        let text = |sql: &str| paged(sql, Page { offset: 2, rows: 3 });
        assert_eq!(text("select a from s").unwrap(), "SELECT * FROM (SELECT a FROM s) LIMIT 2, 3");
        assert_eq!(
            text("select a from s settings seek_to = 'earliest' format CSV").unwrap(),
            "SELECT * FROM (SELECT a FROM s) LIMIT 2, 3 SETTINGS seek_to = 'earliest' FORMAT CSV"
        );
        assert_eq!(text("drop stream s").unwrap_err().code, Code::INCORRECT_QUERY);
        assert_eq!(text("select 1; drop stream s").unwrap_err().code, Code::SYNTAX_ERROR);
        assert_eq!(text("select 1) union all (select 2").unwrap_err().code, Code::SYNTAX_ERROR);
        assert!(page(None, None).unwrap().is_none());
        assert!(page(Some(-1), None).is_err());
    }
}

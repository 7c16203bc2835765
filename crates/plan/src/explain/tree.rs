//! The syntax tree of a statement under ClickHouse's names of nodes: one node a line, children one space deeper.
//!
//! In: a statement as parsed. Out: what EXPLAIN AST prints. Promise: operators stand as the functions that they are; a chain of
//! operators is nested from the left.

use hydron_sql::ast::{
    self, AlterCommand, Expr, ExprKind, FromItem, Function, InsertTarget, Literal, ObjectName, Query, QueryBody,
    Select, StatementKind, Style, TableExpr, TableExprKind, WithItem,
};

/// EXPLAIN AST of a statement; `None` for those that have no tree under such names.
pub fn tree_text(statement: &StatementKind) -> Option<String> {
    let mut out = String::new();
    statement_node(statement)?.write(0, &mut out);
    Some(out)
}

struct Node {
    label: String,
    children: Vec<Node>,
}

impl Node {
    fn leaf(label: impl Into<String>) -> Node {
        Node { label: label.into(), children: Vec::new() }
    }

    fn new(label: impl Into<String>, children: Vec<Node>) -> Node {
        Node { label: label.into(), children }
    }

    fn write(&self, depth: usize, out: &mut String) {
        out.extend(std::iter::repeat_n(' ', depth));
        out.push_str(&self.label);
        if !self.children.is_empty() {
            out.push_str(&format!(" (children {})", self.children.len()));
        }
        out.push('\n');
        self.children.iter().for_each(|child| child.write(depth + 1, out));
    }
}

fn statement_node(statement: &StatementKind) -> Option<Node> {
    Some(match statement {
        StatementKind::Query(query) => query_node(query),
        StatementKind::Insert(insert) => {
            let (label, mut children) = match &insert.target {
                InsertTarget::Stream(name) => (object_label("InsertQuery", name), object_children(name)),
                InsertTarget::Function(f) => ("InsertQuery".to_owned(), vec![function(f, "")]),
            };
            if !insert.columns.is_empty() {
                children.push(list(&insert.columns));
            }
            if let ast::InsertSource::Select(query) = &insert.source {
                children.push(query_node(query));
            }
            Node::new(label, children)
        }
        StatementKind::Alter(alter) => {
            let commands = alter.commands.iter().map(alter_command).collect();
            let mut children = vec![Node::new("ExpressionList", commands)];
            children.extend(object_children(&alter.name));
            let database = alter.name.database.as_deref().unwrap_or_default();
            Node::new(format!("AlterQuery {database} {}", alter.name.name), children)
        }
        StatementKind::CreateFunction(create) => {
            let ast::FunctionBody::Sql(body) = &create.body else { return None };
            let children = vec![Node::leaf(format!("Identifier {}", create.name)), expr(body)];
            Node::new(format!("CreateFunctionQuery {}", create.name), children)
        }
        StatementKind::CreateStream(create) => {
            let mut children = object_children(&create.name);
            if let Some(elements) = &create.elements {
                let columns = elements.columns.iter().map(column).collect();
                children.push(Node::new("Columns definition", vec![Node::new("ExpressionList", columns)]));
            }
            children.extend(storage(&create.storage));
            if let Some(ast::CreateSource::Select(query)) = &create.source {
                children.push(query_node(query));
            }
            Node::new(object_label("CreateQuery", &create.name), children)
        }
        StatementKind::CreateView(create) => {
            let mut children = object_children(&create.name);
            children.push(query_node(&create.query));
            Node::new(object_label("CreateQuery", &create.name), children)
        }
        StatementKind::CreateMaterializedView(create) => {
            let mut children = object_children(&create.name);
            children.extend(create.into.iter().flat_map(object_children));
            children.push(query_node(&create.query));
            Node::new(object_label("CreateQuery", &create.name), children)
        }
        StatementKind::Drop(drop) => {
            let [name] = drop.names.as_slice() else { return None };
            Node::new(object_label("DropQuery", name), object_children(name))
        }
        StatementKind::Describe(describe) => Node::new("DescribeQuery", vec![table_expression(&describe.target)]),
        StatementKind::Explain(explain) => match &explain.target {
            ast::ExplainTarget::Statement(inner) => Node::new("Explain", vec![statement_node(&inner.kind)?]),
            ast::ExplainTarget::Text(_) => return None,
        },
        StatementKind::Set(_) => Node::leaf("Set"),
        StatementKind::Use(database) => {
            Node::new(format!("UseQuery {database}"), vec![Node::leaf(format!("Identifier {database}"))])
        }
        _ => return None,
    })
}

/// `InsertQuery db t`, without a database `InsertQuery  t`.
fn object_label(kind: &str, name: &ObjectName) -> String {
    format!("{kind} {} {}", name.database.as_deref().unwrap_or_default(), name.name)
}

fn object_children(name: &ObjectName) -> Vec<Node> {
    let names = name.database.iter().chain([&name.name]);
    names.map(|n| Node::leaf(format!("Identifier {n}"))).collect()
}

fn alter_command(command: &AlterCommand) -> Node {
    use AlterCommand as A;
    let names = |names: &[&str]| names.iter().map(|n| Node::leaf(format!("Identifier {n}"))).collect::<Vec<_>>();
    let (kind, children) = match command {
        A::AddColumn { column: c, .. } => ("ADD_COLUMN", vec![column(c)]),
        A::DropColumn { name, .. } => ("DROP_COLUMN", names(&[name])),
        A::ClearColumn { name, .. } => ("DROP_COLUMN", names(&[name])),
        A::ModifyColumn { column: c, .. } => ("MODIFY_COLUMN", vec![column(c)]),
        A::RenameColumn { from, to, .. } => ("RENAME_COLUMN", names(&[from, to])),
        A::CommentColumn { name, comment, .. } => {
            let mut children = names(&[name]);
            children.push(Node::leaf(format!("Literal {}", literal(&Literal::string(comment)))));
            ("COMMENT_COLUMN", children)
        }
        A::Delete { filter, .. } => ("DELETE", vec![expr(filter)]),
        A::Update { assignments, filter, .. } => {
            let set = assignments.iter().map(|a| Node::new(format!("Assignment {}", a.column), vec![expr(&a.expr)]));
            ("UPDATE", vec![expr(filter), Node::new("ExpressionList", set.collect())])
        }
        A::ModifySetting(_) => ("MODIFY_SETTING", vec![Node::leaf("Set")]),
        A::ResetSetting(_) => ("RESET_SETTING", Vec::new()),
        A::ModifyOrderBy(key) => ("MODIFY_ORDER_BY", vec![expr(key)]),
        A::ModifyTtl(elements) => {
            let ttl = elements.iter().map(|e| Node::new("TTLElement", vec![expr(&e.expr)])).collect();
            ("MODIFY_TTL", vec![Node::new("ExpressionList", ttl)])
        }
        A::RemoveTtl => ("REMOVE_TTL", Vec::new()),
        A::AddConstraint { constraint, .. } => {
            ("ADD_CONSTRAINT", vec![Node::new(format!("Constraint {}", constraint.name), vec![expr(&constraint.expr)])])
        }
        A::DropConstraint { name, .. } => ("DROP_CONSTRAINT", names(&[name])),
        A::AddIndex { index, .. } => ("ADD_INDEX", vec![Node::new("Index", vec![expr(&index.expr), expr(&index.ty)])]),
        A::DropIndex { name, .. } => ("DROP_INDEX", names(&[name])),
        A::DropPartition { .. } => ("DROP_PARTITION", vec![Node::leaf("Partition")]),
        _ => ("OTHER", Vec::new()),
    };
    Node::new(format!("AlterCommand {kind}"), children)
}

fn column(column: &ast::ColumnDef) -> Node {
    let mut children = Vec::new();
    if let Some(ty) = &column.ty {
        children.push(Node::leaf(format!("DataType {ty}")));
    }
    children.extend(column.default.iter().filter_map(|d| d.expr.as_ref()).map(expr));
    if let Some(comment) = &column.comment {
        children.push(Node::leaf(format!("Literal {}", literal(&Literal::string(comment)))));
    }
    children.extend(column.ttl.iter().map(expr));
    Node::new(format!("ColumnDeclaration {}", column.name), children)
}

fn storage(storage: &ast::Storage) -> Option<Node> {
    let mut children: Vec<Node> = storage.engine.iter().map(|f| function(f, "")).collect();
    let keys = [&storage.partition_by, &storage.primary_key, &storage.order_by, &storage.sample_by];
    children.extend(keys.into_iter().flatten().map(expr));
    if !storage.settings.is_empty() {
        children.push(Node::leaf("Set"));
    }
    (!children.is_empty()).then(|| Node::new("Storage definition", children))
}

fn query_node(query: &Query) -> Node {
    let mut selects = Vec::new();
    operands(&query.body, &mut selects);
    let mut node = Node::new("SelectWithUnionQuery", vec![Node::new("ExpressionList", selects)]);
    node.children.extend(query.pipe.iter().map(query_node));
    node
}

fn operands(body: &QueryBody, out: &mut Vec<Node>) {
    match body {
        QueryBody::Select(select) => out.push(select_node(select)),
        QueryBody::Nested(query) => out.push(query_node(query)),
        QueryBody::Set(set) => {
            let is_union = set.rest.iter().all(|(o, _)| o.kind == ast::SetKind::Union);
            let mut parts = Vec::new();
            operands(&set.first, &mut parts);
            set.rest.iter().for_each(|(_, operand)| operands(operand, &mut parts));
            match is_union {
                true => out.extend(parts),
                false => out.push(Node::new("SelectIntersectExceptQuery", parts)),
            }
        }
    }
}

fn select_node(select: &Select) -> Node {
    let mut children = Vec::new();
    if !select.with.is_empty() {
        let with = select.with.iter().map(|item| match item {
            WithItem::Query { name, query, .. } => {
                Node::new(format!("WithElement {name}"), vec![Node::new("Subquery", vec![query_node(query)])])
            }
            WithItem::Expr(e) => expr(e),
        });
        children.push(Node::new("ExpressionList", with.collect()));
    }
    children.push(list(&select.projection));
    children.extend(select.from.iter().map(tables));
    children.extend([&select.prewhere, &select.filter].into_iter().flatten().map(expr));
    if let Some(group_by) = &select.group_by {
        children.push(match &group_by.kind {
            ast::GroupByKind::Plain(keys) | ast::GroupByKind::Rollup(keys) | ast::GroupByKind::Cube(keys) => list(keys),
            ast::GroupByKind::GroupingSets(sets) => {
                Node::new("ExpressionList", sets.iter().map(|set| list(set)).collect())
            }
        });
    }
    children.extend(select.having.iter().map(expr));
    children.extend(select.qualify.iter().map(expr));
    if !select.windows.is_empty() {
        let windows = select
            .windows
            .iter()
            .map(|w| Node::new("WindowListElement", vec![Node::new("WindowDefinition", window(&w.spec))]));
        children.push(Node::new("ExpressionList", windows.collect()));
    }
    if !select.order_by.is_empty() {
        children.push(order(&select.order_by));
    }
    if let Some(limit_by) = &select.limit_by {
        children.extend(limit_by.offset.iter().map(expr));
        children.push(expr(&limit_by.count));
        children.push(list(&limit_by.by));
    }
    if let Some(limit) = &select.limit {
        children.extend([&limit.offset, &limit.count].into_iter().flatten().map(expr));
    }
    if let Some(emit) = &select.emit {
        children.push(Node::leaf(format!("Emit {emit}")));
    }
    if !select.settings.is_empty() {
        children.push(Node::leaf("Set"));
    }
    Node::new("SelectQuery", children)
}

fn order(items: &[ast::OrderItem]) -> Node {
    let element = |item: &ast::OrderItem| {
        let mut children = vec![expr(&item.expr)];
        children.extend(item.collate.iter().map(|c| Node::leaf(format!("Literal {}", literal(&Literal::string(c))))));
        if let Some(fill) = &item.fill {
            children.extend([&fill.from, &fill.to, &fill.step].into_iter().flatten().map(expr));
        }
        Node::new("OrderByElement", children)
    };
    Node::new("ExpressionList", items.iter().map(element).collect())
}

fn tables(from: &ast::FromClause) -> Node {
    let element = |children: Vec<Node>| Node::new("TablesInSelectQueryElement", children);
    let mut elements: Vec<Node> = from.first.iter().map(|t| element(vec![table_expression(t)])).collect();
    for item in &from.rest {
        elements.push(match item {
            FromItem::Join(join) => {
                let on = match &join.constraint {
                    Some(ast::JoinConstraint::On(on)) => vec![expr(on)],
                    Some(ast::JoinConstraint::Using(columns)) => vec![list(columns)],
                    None => Vec::new(),
                };
                element(vec![table_expression(&join.table), Node::new("TableJoin", on)])
            }
            FromItem::ArrayJoin(join) => element(vec![Node::new("ArrayJoin", vec![list(&join.items)])]),
        });
    }
    Node::new("TablesInSelectQuery", elements)
}

fn table_expression(table: &TableExpr) -> Node {
    let alias = alias(table.alias.as_deref());
    let source = match &table.kind {
        TableExprKind::Name(name) => Node::leaf(format!("TableIdentifier {name}{alias}")),
        TableExprKind::Function(f) => function(f, &alias),
        TableExprKind::Subquery(query) => Node::new(format!("Subquery{alias}"), vec![query_node(query)]),
    };
    let mut children = vec![source];
    if let Some(sample) = &table.sample {
        children.push(Node::leaf(format!("SampleRatio {}", sample.ratio)));
        children.extend(sample.offset.iter().map(|o| Node::leaf(format!("SampleRatio {o}"))));
    }
    Node::new("TableExpression", children)
}

fn alias(alias: Option<&str>) -> String {
    alias.map_or_else(String::new, |a| format!(" (alias {a})"))
}

fn list(exprs: &[Expr]) -> Node {
    Node::new("ExpressionList", exprs.iter().map(expr).collect())
}

fn call(name: &str, alias: &str, args: Vec<Node>) -> Node {
    Node::new(format!("Function {name}{alias}"), vec![Node::new("ExpressionList", args)])
}

fn function(f: &Function, alias: &str) -> Node {
    // A tuple that is no constant is made by a function, which has this name in Proton.
    let name = if f.name == "tuple" && f.style == Style::Parens { "tuple_cast" } else { &f.name };
    let mut node = call(name, alias, f.args.iter().map(expr).collect());
    match &f.over {
        Some(ast::Over::Spec(spec)) => node.children.push(Node::new("WindowDefinition", window(spec))),
        Some(ast::Over::Name(_)) | None => {}
    }
    node
}

fn window(spec: &ast::WindowSpec) -> Vec<Node> {
    let mut children = Vec::new();
    if !spec.partition_by.is_empty() {
        children.push(list(&spec.partition_by));
    }
    if !spec.order_by.is_empty() {
        children.push(order(&spec.order_by));
    }
    children
}

fn expr(e: &Expr) -> Node {
    let alias = alias(e.alias.as_deref());
    match &e.kind {
        ExprKind::Literal(l) => Node::leaf(format!("Literal {}{alias}", literal(l))),
        ExprKind::Identifier(name) => Node::leaf(format!("Identifier {}{alias}", name.full())),
        ExprKind::Function(f) => match constant(e) {
            Some(text) => Node::leaf(format!("Literal {text}{alias}")),
            None => function(f, &alias),
        },
        ExprKind::Chain(chain) => {
            let mut left = expr(&chain.first);
            for (at, (operator, operand)) in chain.rest.iter().enumerate() {
                let alias = if at + 1 == chain.rest.len() { alias.as_str() } else { "" };
                left = call(operator.function(), alias, vec![left, expr(operand)]);
            }
            left
        }
        ExprKind::Lambda(lambda) => {
            let params = lambda.params.iter().map(|p| Node::leaf(format!("Identifier {p}"))).collect();
            call("lambda", &alias, vec![call("tuple_cast", "", params), expr(&lambda.body)])
        }
        ExprKind::Subquery(query) => Node::new(format!("Subquery{alias}"), vec![query_node(query)]),
        ExprKind::Exists(query) => call("exists", &alias, vec![Node::new("Subquery", vec![query_node(query)])]),
        ExprKind::Asterisk(a) => match &a.qualifier {
            Some(name) => Node::new("QualifiedAsterisk", vec![Node::leaf(format!("Identifier {}", name.full()))]),
            None => Node::leaf("Asterisk"),
        },
        ExprKind::Columns(_) => Node::leaf("ColumnsMatcher"),
        ExprKind::Parameter(p) => Node::leaf(format!("QueryParameter {}:{}{alias}", p.name, p.ty)),
        ExprKind::JsonPath(path) => {
            let args = vec![Node::leaf(format!("Identifier {}", path.column.full()))];
            call("json_value", &alias, args)
        }
        ExprKind::SessionRange(range) => call("session_range", &alias, vec![expr(&range.start), expr(&range.end)]),
    }
}

/// Arrays and tuples of constants are one constant.
fn constant(e: &Expr) -> Option<String> {
    match &e.kind {
        ExprKind::Literal(l) => Some(literal(l)),
        ExprKind::Function(f) => {
            let (open, close) = match (f.name.as_str(), f.style) {
                ("tuple", Style::Parens) => ("tuple_(", ")"),
                ("array", Style::Brackets) => ("array_[", "]"),
                _ => return None,
            };
            let parts: Option<Vec<String>> = f.args.iter().map(constant).collect();
            Some(format!("{open}{}{close}", parts?.join(", ")))
        }
        _ => None,
    }
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Null => "NULL".to_owned(),
        Literal::Bool(b) => format!("bool_{}", u8::from(*b)),
        Literal::UInt(n) => format!("uint64_{n}"),
        Literal::Int(n) => format!("int64_{n}"),
        Literal::BigInt(_) | Literal::Float(_) => format!("float64_{literal}"),
        Literal::String(_) => literal.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: &[&str]) {
        let parsed = hydron_sql::parse_statement(sql).unwrap().statement;
        let text = tree_text(&parsed.kind).unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_query_of_every_clause() {
        check(
            "select a + b * 2 as x from d.t as s left join u on s.k = u.k where f(a) order by x limit 3",
            &[
                "SelectWithUnionQuery (children 1)",
                " ExpressionList (children 1)",
                "  SelectQuery (children 5)",
                "   ExpressionList (children 1)",
                "    Function plus (alias x) (children 1)",
                "     ExpressionList (children 2)",
                "      Identifier a",
                "      Function multiply (children 1)",
                "       ExpressionList (children 2)",
                "        Identifier b",
                "        Literal uint64_2",
                "   TablesInSelectQuery (children 2)",
                "    TablesInSelectQueryElement (children 1)",
                "     TableExpression (children 1)",
                "      TableIdentifier d.t (alias s)",
                "    TablesInSelectQueryElement (children 2)",
                "     TableExpression (children 1)",
                "      TableIdentifier u",
                "     TableJoin (children 1)",
                "      Function equals (children 1)",
                "       ExpressionList (children 2)",
                "        Identifier s.k",
                "        Identifier u.k",
                "   Function f (children 1)",
                "    ExpressionList (children 1)",
                "     Identifier a",
                "   ExpressionList (children 1)",
                "    OrderByElement (children 1)",
                "     Identifier x",
                "   Literal uint64_3",
            ],
        );
    }

    #[test]
    fn chains_nest_from_the_left_and_constants_are_one() {
        check(
            "select 1 - x - 2, [1, -2], ('a', NULL)",
            &[
                "SelectWithUnionQuery (children 1)",
                " ExpressionList (children 1)",
                "  SelectQuery (children 1)",
                "   ExpressionList (children 3)",
                "    Function minus (children 1)",
                "     ExpressionList (children 2)",
                "      Function minus (children 1)",
                "       ExpressionList (children 2)",
                "        Literal uint64_1",
                "        Identifier x",
                "      Literal uint64_2",
                "    Literal array_[uint64_1, int64_-2]",
                "    Literal tuple_('a', NULL)",
            ],
        );
    }

    #[test]
    fn other_statements() {
        check("use d", &["UseQuery d (children 1)", " Identifier d"]);
        check(
            "insert into t (a) select 1",
            &[
                "InsertQuery  t (children 3)",
                " Identifier t",
                " ExpressionList (children 1)",
                "  Identifier a",
                " SelectWithUnionQuery (children 1)",
                "  ExpressionList (children 1)",
                "   SelectQuery (children 1)",
                "    ExpressionList (children 1)",
                "     Literal uint64_1",
            ],
        );
    }
}

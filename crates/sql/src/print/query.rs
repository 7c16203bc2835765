//! Queries and table expressions.

use super::Printer;
use crate::ast::*;

impl Printer {
    pub(super) fn query(&mut self, query: &Query) {
        self.query_body(&query.body);
        for stage in &query.pipe {
            self.line();
            self.put("| ");
            self.query(stage);
        }
    }

    fn query_body(&mut self, body: &QueryBody) {
        match body {
            QueryBody::Select(select) => self.select(select),
            QueryBody::Nested(query) => self.subquery(query),
            QueryBody::Set(set) => {
                self.set_operand(&set.first);
                for (operator, operand) in &set.rest {
                    self.line();
                    self.put(match operator.kind {
                        SetKind::Union => "UNION",
                        SetKind::Intersect => "INTERSECT",
                        SetKind::Except => "EXCEPT",
                    });
                    match operator.quantifier {
                        Some(SetQuantifier::All) => self.put(" ALL"),
                        Some(SetQuantifier::Distinct) => self.put(" DISTINCT"),
                        None => {}
                    }
                    self.line();
                    self.set_operand(operand);
                }
            }
        }
    }

    fn set_operand(&mut self, operand: &QueryBody) {
        self.query_body(operand);
    }

    pub(super) fn select(&mut self, select: &Select) {
        self.with(&select.with);
        let mut head = "SELECT".to_owned();
        if let Some(distinct) = &select.distinct {
            head.push_str(" DISTINCT");
            if !distinct.on.is_empty() {
                let on = super::printed(false, |p| p.exprs(&distinct.on));
                head.push_str(&format!(" ON ({on})"));
            }
        }
        if let Some(top) = &select.top {
            head.push_str(&format!(" TOP ({})", super::printed(false, |p| p.bare(&top.count))));
            head.push_str(if top.with_ties { " WITH TIES" } else { "" });
        }
        self.block(&head, |p| p.exprs(&select.projection));
        if let Some(from) = &select.from {
            self.tables(from);
        }
        self.filter("PREWHERE", &select.prewhere);
        self.filter("WHERE", &select.filter);
        self.expr_clause("PARTITION BY", &select.partition_by);
        self.expr_clause("SHUFFLE BY", &select.shuffle_by);
        if let Some(group_by) = &select.group_by {
            self.group_by(group_by);
        }
        self.filter("HAVING", &select.having);
        if !select.windows.is_empty() {
            self.line();
            self.block("WINDOW", |p| {
                p.list(&select.windows, |p, window| {
                    p.name(&window.name);
                    p.put(" AS ");
                    p.window_spec(&window.spec);
                });
            });
        }
        self.filter("QUALIFY", &select.qualify);
        if !select.order_by.is_empty() {
            self.line();
            self.block("ORDER BY", |p| p.order_items(&select.order_by));
        }
        if let Some(interpolate) = &select.interpolate {
            self.interpolate(interpolate);
        }
        self.limits(select);
        if let Some(emit) = &select.emit {
            self.line();
            self.emit(emit);
        }
        if !select.settings.is_empty() {
            self.line();
            self.put("SETTINGS ");
            self.settings(&select.settings);
        }
    }

    fn with(&mut self, items: &[WithItem]) {
        if items.is_empty() {
            return;
        }
        let recursive = items.iter().any(|i| matches!(i, WithItem::Query { recursive: true, .. }));
        self.put(if recursive { "WITH RECURSIVE " } else { "WITH " });
        self.list(items, |p, item| match item {
            WithItem::Query { name, columns, query, .. } => {
                p.name(name);
                if !columns.is_empty() {
                    p.put("(");
                    p.list(columns, |p, c| p.name(c));
                    p.put(")");
                }
                p.put(" AS");
                p.deeper(|p| {
                    p.line();
                    p.subquery(query);
                });
            }
            WithItem::Expr(expr) => p.expr(expr),
        });
        self.line();
    }

    fn filter(&mut self, keyword: &str, filter: &Option<Expr>) {
        if let Some(filter) = filter {
            self.line();
            self.block(keyword, |p| p.expr(filter));
        }
    }

    fn expr_clause(&mut self, keyword: &str, exprs: &[Expr]) {
        if !exprs.is_empty() {
            self.line();
            self.block(keyword, |p| p.exprs(exprs));
        }
    }

    fn tables(&mut self, from: &FromClause) {
        if let Some(first) = &from.first {
            self.line();
            self.block("FROM", |p| p.table_expr(first));
        }
        for item in &from.rest {
            match item {
                FromItem::ArrayJoin(join) => {
                    self.line();
                    self.put(if join.left { "LEFT ARRAY JOIN " } else { "ARRAY JOIN " });
                    self.exprs(&join.items);
                }
                FromItem::Join(join) => self.join(join),
            }
        }
    }

    fn join(&mut self, join: &Join) {
        if join.kind == JoinKind::Comma {
            self.put(", ");
            return self.table_expr(&join.table);
        }
        self.line();
        self.put(match join.locality {
            Some(JoinLocality::Global) => "GLOBAL ",
            Some(JoinLocality::Local) => "LOCAL ",
            None => "",
        });
        self.put(match join.strictness {
            Some(JoinStrictness::Any) => "ANY ",
            Some(JoinStrictness::All) => "ALL ",
            Some(JoinStrictness::Asof) => "ASOF ",
            Some(JoinStrictness::Semi) => "SEMI ",
            Some(JoinStrictness::Anti) => "ANTI ",
            Some(JoinStrictness::Latest) => "LATEST ",
            None => "",
        });
        self.put(match join.kind {
            JoinKind::Inner | JoinKind::Comma => "INNER JOIN ",
            JoinKind::Left => "LEFT JOIN ",
            JoinKind::Right => "RIGHT JOIN ",
            JoinKind::Full => "FULL JOIN ",
            JoinKind::Cross => "CROSS JOIN ",
        });
        self.table_expr(&join.table);
        match &join.constraint {
            Some(JoinConstraint::On(on)) => {
                self.put(" ON ");
                self.bare(on);
            }
            Some(JoinConstraint::Using(columns)) => {
                self.put(" USING (");
                self.exprs(columns);
                self.put(")");
            }
            None => {}
        }
    }

    pub(super) fn table_expr(&mut self, table: &TableExpr) {
        match &table.kind {
            TableExprKind::Name(name) => self.object(name),
            TableExprKind::Function(function) => self.call(function),
            TableExprKind::Subquery(query) => self.subquery(query),
        }
        if let Some(alias) = &table.alias {
            self.put(" AS ");
            self.name(alias);
        }
        self.put_if(table.is_final, " FINAL");
        if let Some(sample) = &table.sample {
            self.put(" SAMPLE ");
            self.bare(&sample.ratio);
            if let Some(offset) = &sample.offset {
                self.put(" OFFSET ");
                self.bare(offset);
            }
        }
    }

    fn group_by(&mut self, group_by: &GroupBy) {
        match &group_by.kind {
            GroupByKind::Plain(keys) => self.expr_clause("GROUP BY", keys),
            GroupByKind::Rollup(keys) => {
                self.expr_clause("GROUP BY", keys);
                self.modifier("WITH ROLLUP");
            }
            GroupByKind::Cube(keys) => {
                self.expr_clause("GROUP BY", keys);
                self.modifier("WITH CUBE");
            }
            GroupByKind::GroupingSets(sets) => {
                self.line();
                self.put("GROUP BY");
                self.modifier("GROUPING SETS (");
                self.list(sets, |p, set| {
                    p.put("(");
                    p.exprs(set);
                    p.put(")");
                });
                self.put(")");
            }
        }
        if group_by.with_totals {
            self.modifier("WITH TOTALS");
        }
    }

    /// On a line of its own, two levels deeper.
    fn modifier(&mut self, words: &str) {
        self.deeper(|p| p.deeper(Self::line));
        self.put(words);
    }

    pub(super) fn order_items(&mut self, items: &[OrderItem]) {
        self.list(items, |p, item| {
            p.expr(&item.expr);
            p.put(if item.descending { " DESC" } else { " ASC" });
            match item.nulls_first {
                Some(true) => p.put(" NULLS FIRST"),
                Some(false) => p.put(" NULLS LAST"),
                None => {}
            }
            p.opt_string(" COLLATE ", &item.collate);
            if let Some(fill) = &item.fill {
                p.put(" WITH FILL");
                for (keyword, bound) in [(" FROM ", &fill.from), (" TO ", &fill.to), (" STEP ", &fill.step)] {
                    if let Some(bound) = bound {
                        p.put(keyword);
                        p.bare(bound);
                    }
                }
            }
        });
    }

    fn interpolate(&mut self, items: &[Interpolate]) {
        self.line();
        self.put("INTERPOLATE");
        if items.is_empty() {
            return;
        }
        self.put(" (");
        self.list(items, |p, item| {
            p.name(&item.name);
            if let Some(expr) = &item.expr {
                p.put(" AS ");
                p.bare(expr);
            }
        });
        self.put(")");
    }

    fn limits(&mut self, select: &Select) {
        if let Some(limit_by) = &select.limit_by {
            self.line();
            self.put("LIMIT ");
            if let Some(offset) = &limit_by.offset {
                self.bare(offset);
                self.put(", ");
            }
            self.bare(&limit_by.count);
            self.put(" ");
            self.block("BY", |p| p.exprs(&limit_by.by));
        }
        let Some(limit) = &select.limit else { return };
        self.line();
        match (&limit.count, &limit.offset) {
            (Some(count), offset) => {
                self.put("LIMIT ");
                if let Some(offset) = offset {
                    self.bare(offset);
                    self.put(", ");
                }
                self.bare(count);
                self.put_if(limit.with_ties, " WITH TIES");
            }
            (None, Some(offset)) => {
                self.put("OFFSET ");
                self.bare(offset);
            }
            (None, None) => {}
        }
    }

    pub(super) fn emit(&mut self, emit: &Emit) {
        self.put("EMIT");
        match emit.mode {
            Some(EmitMode::Stream) => self.put(" STREAM"),
            Some(EmitMode::Changelog) => self.put(" CHANGELOG"),
            None => {}
        }
        match &emit.after {
            Some(EmitAfter::Watermark) => self.put(" AFTER WATERMARK"),
            Some(EmitAfter::WindowClose) => self.put(" AFTER WINDOW CLOSE"),
            Some(EmitAfter::SessionClose { key_expire, identified_by, only, maxspan }) => {
                self.put(if *key_expire { " AFTER KEY EXPIRE" } else { " AFTER SESSION CLOSE" });
                if !identified_by.is_empty() {
                    self.put(" IDENTIFIED BY (");
                    self.exprs(identified_by);
                    self.put(")");
                }
                self.emit_interval(if *only { " WITH ONLY MAXSPAN " } else { " WITH MAXSPAN " }, maxspan);
            }
            None => {}
        }
        self.emit_interval(" PERIODIC ", &emit.periodic);
        self.put_if(emit.repeat, " REPEAT");
        self.put_if(emit.on_update, " ON UPDATE");
        self.emit_interval(" WITH BATCH ", &emit.batch);
        self.put_if(emit.per_event, " PER EVENT");
        self.emit_interval(" WITH DELAY ", &emit.delay);
        self.emit_interval(" AND TIMEOUT ", &emit.timeout);
        self.emit_interval(" AND LAST ", &emit.last);
        self.put_if(emit.last_on_proctime, " ON PROCTIME");
    }

    fn emit_interval(&mut self, keyword: &str, interval: &Option<Expr>) {
        if let Some(interval) = interval {
            // The first option takes no AND.
            let first = self.out.ends_with("EMIT") || self.out.ends_with("STREAM") || self.out.ends_with("CHANGELOG");
            self.put(if first { keyword.strip_prefix(" AND").unwrap_or(keyword) } else { keyword });
            self.bare(interval);
        }
    }

    pub(super) fn settings(&mut self, settings: &[Setting]) {
        self.list(settings, |p, setting| {
            p.name_parts(&setting.name);
            p.put(" = ");
            p.setting_value(&setting.value);
        });
    }

    /// A name that may hold dots of its own parts.
    pub(super) fn name_parts(&mut self, name: &str) {
        for (i, part) in name.split('.').enumerate() {
            self.put_if(i > 0, ".");
            self.name(part);
        }
    }

    pub(super) fn setting_value(&mut self, value: &SettingValue) {
        match value {
            SettingValue::Literal(literal) => self.literal(literal),
            SettingValue::Default => self.put("DEFAULT"),
            SettingValue::Expr(expr) => self.bare(expr),
        }
    }
}

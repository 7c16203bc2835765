//! A streaming plan becomes a pipeline.
//!
//! In: a plan. Out: sources and the operators between them and the answer. Promise: what is not built answers
//! NOT_IMPLEMENTED (48) and names the node; a part of the plan that ends by itself becomes a source of its own.

mod join;
mod recipe;
mod text;

use crate::operator::Operator;
use crate::operator::array_join::ArrayJoin;
use crate::operator::changelog::Changelog;
use crate::operator::dedup::Dedup;
use crate::operator::distinct::Distinct;
use crate::operator::filter::Filter;
use crate::operator::lag::Lag;
use crate::operator::limit::{Limit, LimitBy};
use crate::operator::project::Project;
use crate::operator::signs::{AddSigns, TakeSigns};
use crate::operator::sort::Sort;
use crate::operator::union::Union;
use crate::operator::version::EmitVersion;
use crate::pipeline::{Graph, Pipeline, PipelineSource, SourceKind, Stage};
use crate::shard::{Merger, Router, Sharded};
use crate::substream::{Chain, Substreams};
use crate::window::assign::AssignWindow;
use crate::window::span::Spans;
use crate::window::stamper::{Stamper, StamperSpec};
use hydron_base::{Error, Result};
use hydron_plan::explain::{Names, forget_text, lags_text, window_text};
use hydron_plan::node::{Aggregate, Forget};
use hydron_plan::{Change, Node, Plan, Scan, ScanColumn};
use hydron_types::{Field, LogicalType, Schema};
use recipe::{Recipe, time_column};
use std::sync::Arc;

/// Keys that DISTINCT remembers: 100 million of 8 bytes are about 3 GiB, which the memory limit catches first for wider ones.
const DISTINCT_KEYS_MAX: usize = 100_000_000;

/// What the session decides about a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildOptions {
    /// Operators that share the keys of one aggregation.
    pub parallelism: usize,
    /// The setting `emit_during_backfill`.
    pub emit_during_backfill: bool,
    /// The setting `max_rows_to_group_by`. With it one operator has all groups.
    pub groups_max: Option<usize>,
    /// The setting `idle_shard_timeout_ms`; `None`: a shard without rows holds time back.
    pub idle_ms: Option<i64>,
    /// The setting `aggregate_state_ttl_sec`; `None`: groups are never forgotten.
    pub ttl_ms: Option<i64>,
    pub join: JoinLimits,
}

/// What joins of streams may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinLimits {
    /// `join_max_buffered_bytes`: one byte more is SET_SIZE_LIMIT_EXCEEDED (191).
    pub bytes_max: usize,
    /// `keep_versions`: right rows that an ASOF join keeps of each key.
    pub versions_max: usize,
}

impl Default for JoinLimits {
    fn default() -> JoinLimits {
        JoinLimits { bytes_max: 500 << 20, versions_max: 3 }
    }
}

impl Default for BuildOptions {
    fn default() -> BuildOptions {
        BuildOptions {
            parallelism: 1,
            emit_during_backfill: false,
            groups_max: None,
            idle_ms: None,
            ttl_ms: None,
            join: JoinLimits::default(),
        }
    }
}

/// Builds the operators of `plan`, which is streaming.
///
/// Errors: NOT_IMPLEMENTED (48) for a node or combination that streams cannot run; BAD_ARGUMENTS (36) for impossible windows.
pub fn build(plan: &Plan, options: BuildOptions) -> Result<Pipeline> {
    let mut builder = Builder {
        options,
        sources: vec![],
        order: vec![],
        head: Graph::default(),
        sharded: None,
        tail: Graph::default(),
    };
    let top = builder.plan(plan, true)?;
    let text = top.text.iter().map(|(depth, line)| format!("{}{line}\n", "  ".repeat(*depth))).collect();
    Ok(Pipeline {
        sources: builder.sources,
        order: builder.order,
        head: builder.head,
        sharded: builder.sharded,
        tail: builder.tail,
        schema: Arc::clone(&plan.schema),
        change: plan.change,
        text,
    })
}

struct Builder {
    options: BuildOptions,
    sources: Vec<PipelineSource>,
    /// See [`Pipeline::order`].
    order: Vec<usize>,
    head: Graph,
    sharded: Option<Sharded>,
    tail: Graph,
}

/// What has been built of a plan.
struct Built {
    end: End,
    /// Lanes of its rows, from 0; none where no stream is read.
    lanes: usize,
    /// EXPLAIN: depth and line, this operator first.
    text: Vec<(usize, String)>,
}

/// Whose output is still to be connected.
#[derive(Clone, Copy)]
enum End {
    Source(usize),
    Head(usize),
    Sharded,
    Tail(usize),
}

impl Builder {
    /// `alone`: from here to the answer every operator has one input, so an aggregation may be divided.
    fn plan(&mut self, plan: &Plan, alone: bool) -> Result<Built> {
        if !plan.streaming {
            let kind = SourceKind::Bounded(Box::new(plan.clone()));
            return Ok(self.source(kind, &plan.schema, 0, text::bounded(plan)));
        }
        match &plan.node {
            Node::Scan(scan) => self.scan(scan, plan),
            Node::Filter { input, predicate } => {
                let below = self.plan(input, alone)?;
                let op = Filter::new(predicate.clone(), input.is_whole_answer());
                Ok(self.then(below, op, format!("Filter {}", Names(&input.schema).expr(predicate))))
            }
            Node::Project { input, exprs } => {
                let below = self.plan(input, alone)?;
                let op = Project::new(exprs, &input.schema, Arc::clone(&plan.schema));
                Ok(self.then(below, op, format!("Project {}", Names(&input.schema).list(exprs))))
            }
            Node::AssignWindow { input, window } => {
                let below = self.plan(input, alone)?;
                let time = time_column(window, &input.schema)?;
                let spans = Spans::new(&window.kind, time.digits, window.zone)?;
                let op = AssignWindow::new(spans, time, Arc::clone(&plan.schema));
                let line = format!("AssignWindow {}", window_text(window, Names(&input.schema)));
                Ok(self.then(below, op, line))
            }
            Node::Aggregate(aggregate) => self.aggregate(aggregate, plan, alone),
            Node::ArrayJoin { input, columns, left } => {
                let below = self.plan(input, alone)?;
                let op = ArrayJoin::new(columns.clone(), *left, Arc::clone(&plan.schema));
                let columns: Vec<String> = columns.iter().map(|c| Names(&input.schema).column(*c)).collect();
                Ok(self.then(below, op, format!("ArrayJoin {}", columns.join(", "))))
            }
            Node::Sort { input, keys, limit } => {
                let below = self.plan(input, alone)?;
                let op = Sort::new(keys.clone(), *limit)?;
                Ok(self.then(below, op, format!("Sort each batch by {}", Names(&input.schema).sort_keys(keys))))
            }
            Node::Limit { ties, .. } if !ties.is_empty() => {
                Err(Error::not_implemented("LIMIT WITH TIES in a streaming query"))
            }
            Node::Limit { input, offset, limit, .. } => {
                let below = self.plan(input, alone)?;
                let all = limit.map_or("all".to_string(), |l| l.to_string());
                let after = if *offset > 0 { format!(" after {offset}") } else { String::new() };
                Ok(self.then(below, Limit::new(*offset, *limit), format!("Limit {all}{after}")))
            }
            Node::LimitBy { input, keys, offset, limit } => {
                let below = self.plan(input, alone)?;
                let op = LimitBy::new(keys.clone(), *offset, *limit);
                let keys = Names(&input.schema).list(keys);
                Ok(self.then(below, op, format!("LimitBy {limit} of each {keys} in a batch")))
            }
            Node::Distinct { input, on, forget } if *forget != Forget::default() => {
                if input.change != Change::Append {
                    return Err(Error::not_implemented("dedup() with a timeout or a limit over a changelog"));
                }
                let below = self.plan(input, alone)?;
                let op = Dedup::new(on.clone(), *forget)?;
                let line = format!("Dedup on {}{}", Names(&input.schema).list(on), forget_text(*forget));
                Ok(self.then(below, op, line))
            }
            Node::Distinct { input, on, .. } => {
                // Rows of a versioned stream that nobody follows as changes are rows like others.
                if !matches!(input.change, Change::Append | Change::VersionedKv) {
                    return Err(Error::not_implemented("DISTINCT over a changelog in a streaming query"));
                }
                let below = self.plan(input, alone)?;
                let op = Distinct::new(on.clone(), &input.schema, DISTINCT_KEYS_MAX)?;
                let on = if on.is_empty() { "all columns".to_string() } else { Names(&input.schema).list(on) };
                Ok(self.then(below, op, format!("Distinct on {on}")))
            }
            Node::Union { inputs } => self.union(inputs, plan),
            Node::Join(join) => Ok(self.join(join, plan, None)?.0),
            Node::Changelog { input, keys, version } => {
                let below = self.plan(input, alone)?;
                let op = Changelog::new(keys.clone(), version.clone(), Arc::clone(&plan.schema))?;
                Ok(self.then(below, op, format!("Changelog by {}", Names(&input.schema).list(keys))))
            }
            Node::Lags { input, keys, calls } => {
                let below = self.plan(input, alone)?;
                let op = Lag::new(keys.clone(), calls, Arc::clone(&plan.schema))?;
                Ok(self.then(below, op, lags_text(calls, keys, &input.schema)))
            }
            Node::Signs { input } => {
                let below = self.plan(input, alone)?;
                Ok(self.then(below, AddSigns::new(Arc::clone(&plan.schema)), "Signs as _tp_delta".to_string()))
            }
            other => Err(Error::not_implemented(format!("{} in a streaming query", node_name(other)))),
        }
    }

    fn source(&mut self, kind: SourceKind, schema: &Arc<Schema>, lanes: usize, text: Vec<(usize, String)>) -> Built {
        self.sources.push(PipelineSource { kind, schema: Arc::clone(schema), entry: None, leads: false });
        self.order.push(self.sources.len() - 1);
        Built { end: End::Source(self.sources.len() - 1), lanes, text }
    }

    fn scan(&mut self, scan: &Scan, plan: &Plan) -> Result<Built> {
        let lanes = scan.stream.shards.max(1) as usize;
        let text = vec![(0, text::source(scan, &plan.schema))];
        if !matches!(plan.change, Change::Changelog | Change::ChangelogKv) {
            return Ok(self.source(SourceKind::Stream(scan.clone()), &plan.schema, lanes, text));
        }
        // The signs are needed even where the query does not name them: the source then delivers one column more.
        let stored = scan.stream.column("_tp_delta").map(|(at, _)| ScanColumn::Stored(at));
        let stored =
            stored.ok_or_else(|| Error::bug(format!("changelog stream {} lacks _tp_delta", scan.stream.name)))?;
        let mut scan = scan.clone();
        let mut fields = plan.schema.fields.clone();
        let column = scan.columns.iter().position(|c| *c == stored).unwrap_or_else(|| {
            scan.columns.push(stored);
            fields.push(Field::new("_tp_delta", LogicalType::Int8));
            fields.len() - 1
        });
        let built = self.source(SourceKind::Stream(scan), &Arc::new(Schema::new(fields)), lanes, text);
        let op = TakeSigns::new(column, Arc::clone(&plan.schema));
        Ok(self.then(built, op, "Signs from _tp_delta".to_string()))
    }

    fn union(&mut self, inputs: &[Plan], plan: &Plan) -> Result<Built> {
        if inputs.iter().any(|i| i.change != plan.change) {
            return Err(Error::not_implemented("UNION of an append stream and a changelog"));
        }
        let below = inputs.iter().map(|i| self.plan(i, false)).collect::<Result<Vec<_>>>()?;
        let lanes: Vec<usize> = below.iter().map(|b| b.lanes).collect();
        let mut text = vec![(0, "Union".to_string())];
        text.extend(below.iter().flat_map(|b| b.text.iter().map(|(depth, line)| (depth + 1, line.clone()))));
        let ends: Vec<End> = below.iter().map(|b| b.end).collect();
        let end = self.place(Box::new(Union::new(&lanes, Arc::clone(&plan.schema))), &ends);
        Ok(Built { end, lanes: lanes.iter().sum(), text })
    }

    /// Puts an operator behind what is built.
    fn then(&mut self, below: Built, op: impl Operator + 'static, line: String) -> Built {
        let end = self.place(Box::new(op), &[below.end]);
        Built { end, lanes: below.lanes, text: above(line, below.text) }
    }

    /// Adds a stage whose inputs are `ends`, in order.
    fn place(&mut self, op: Box<dyn Operator>, ends: &[End]) -> End {
        let behind_shards = ends.iter().any(|e| matches!(e, End::Sharded | End::Tail(_)));
        let graph = if behind_shards { &mut self.tail } else { &mut self.head };
        let at = graph.stages.len();
        graph.stages.push(Stage { op, next: None });
        for (input, end) in ends.iter().enumerate() {
            match end {
                End::Source(source) => self.sources[*source].entry = Some((at, input)),
                End::Head(stage) => self.head.stages[*stage].next = Some((at, input)),
                End::Tail(stage) => self.tail.stages[*stage].next = Some((at, input)),
                End::Sharded => {}
            }
        }
        if behind_shards { End::Tail(at) } else { End::Head(at) }
    }

    fn aggregate(&mut self, aggregate: &Aggregate, plan: &Plan, alone: bool) -> Result<Built> {
        let recipe = Recipe::of(aggregate, plan, self.options)?;
        let line = text::aggregate(&recipe, aggregate);
        let in_substreams = aggregate.partition_keys > 0 && !recipe.is_plain_substreams(aggregate);
        let (below, is_stamped) = match &recipe.input.node {
            Node::Join(join) if !in_substreams => self.join(join, recipe.input, Some(&recipe))?,
            _ => (self.plan(recipe.input, alone)?, false),
        };
        let lanes = below.lanes;
        if in_substreams {
            return self.substreams(aggregate, recipe, below, plan, line);
        }
        let mut built = below;
        if let Some(spec) = recipe.stamper(lanes, true).filter(|_| !is_stamped) {
            let stamps = text::stamper(&spec, &recipe);
            built = self.then(built, Stamper::new(spec), stamps);
        }
        let divisible = alone && self.options.groups_max.is_none() && self.sharded.is_none() && recipe.is_divisible();
        let text = above(
            if divisible {
                format!("{line}; {}", text::counted(self.options.parallelism.max(1), "task"))
            } else {
                line
            },
            built.text,
        );
        let end = if divisible {
            let shards = (0..self.options.parallelism.max(1)).map(|_| recipe.operator()).collect::<Result<Vec<_>>>()?;
            let router = Router { keys: recipe.groups().keys.clone(), shards: shards.len() };
            let window = aggregate.window.as_ref().and_then(|w| w.end_key.or(w.start_key));
            self.sharded = Some(Sharded { router, merger: Merger { window }, shards });
            self.connect_out(built.end);
            End::Sharded
        } else {
            self.place(recipe.operator()?, &[built.end])
        };
        let built = Built { end, lanes: 1, text };
        if !aggregate.emit_version {
            return Ok(built);
        }
        Ok(self.then(built, EmitVersion::new(Arc::clone(&plan.schema)), "EmitVersion".to_string()))
    }

    /// What feeds the shards leaves the head.
    fn connect_out(&mut self, end: End) {
        match end {
            End::Source(source) => self.sources[source].entry = None,
            End::Head(stage) => self.head.stages[stage].next = None,
            End::Sharded | End::Tail(_) => {}
        }
    }

    fn substreams(
        &mut self,
        aggregate: &Aggregate,
        recipe: Recipe,
        below: Built,
        plan: &Plan,
        line: String,
    ) -> Result<Built> {
        let mut built = below;
        if let Some(spec) = recipe.stamper(1, true).map(|s| StamperSpec { time: None, timeout_ms: None, ..s })
            && spec.period_ms.is_some()
        {
            let ticks = text::stamper(&spec, &recipe);
            built = self.then(built, Stamper::new(spec), ticks);
        }
        let keys = aggregate.keys[..aggregate.partition_keys].to_vec();
        // Each substream sees its rows in the order of arrival and has one lane; ticks come from outside.
        let stamper = recipe.stamper(1, false);
        let version = aggregate.emit_version.then(|| Arc::clone(&plan.schema));
        let maker = recipe.maker;
        let factory = move || -> Result<Chain> {
            let mut ops: Vec<Box<dyn Operator>> = Vec::new();
            if let Some(spec) = &stamper {
                ops.push(Box::new(Stamper::new(spec.clone())));
            }
            ops.push(maker.operator()?);
            if let Some(schema) = &version {
                ops.push(Box::new(EmitVersion::new(Arc::clone(schema))));
            }
            Ok(Chain(ops))
        };
        let op = Substreams::new(keys.clone(), Box::new(factory))?;
        let each = Names(&aggregate.input.schema).list(&keys);
        let mut built = self.then(built, op, format!("{line}; a substream for each {each}"));
        built.lanes = 1;
        Ok(built)
    }
}

fn above(line: String, below: Vec<(usize, String)>) -> Vec<(usize, String)> {
    let mut text = vec![(0, line)];
    text.extend(below.into_iter().map(|(depth, line)| (depth + 1, line)));
    text
}

/// The node as an error message names it.
pub fn node_name(node: &Node) -> &'static str {
    match node {
        Node::Values { .. } => "VALUES",
        Node::Numbers { .. } => "numbers()",
        Node::Scan(_) => "a scan",
        Node::Filter { .. } => "WHERE",
        Node::Project { .. } => "a projection",
        Node::AssignWindow { .. } => "a window function",
        Node::Aggregate(_) => "an aggregation",
        Node::Join(_) => "JOIN",
        Node::ArrayJoin { .. } => "ARRAY JOIN",
        Node::Sort { .. } => "ORDER BY",
        Node::Fill { .. } => "WITH FILL",
        Node::Limit { .. } => "LIMIT",
        Node::LimitBy { .. } => "LIMIT BY",
        Node::Distinct { .. } => "DISTINCT",
        Node::Union { .. } => "UNION",
        Node::SetOperation { .. } => "INTERSECT or EXCEPT",
        Node::WindowFunctions { .. } => "f() OVER (...)",
        Node::Changelog { .. } | Node::Signs { .. } => "changelog()",
        Node::Lags { .. } => "lag()",
        // Nodes may be added to the plan before a stream can run them.
        #[allow(unreachable_patterns)]
        _ => "this operation",
    }
}

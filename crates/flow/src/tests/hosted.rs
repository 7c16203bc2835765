//! The host: tasks, timers, slow clients, cancellation, panics, memory.

use super::plans::*;
use super::script::tell;
use crate::build::{BuildOptions, build};
use crate::host::{
    Checkpoint, CutAnswer, Event, HostContext, Origin, Query, QueryHandle, Resume, RunOptions, SourceItem,
    SourceReader, Step, Steps, ValuesReader,
};
use crate::operator::{Msg, Operator, Output};
use crate::pipeline::{Pipeline, Stage};
use async_trait::async_trait;
use hydron_base::world::{Clock, WallTime};
use hydron_base::{Budget, Code, Result};
use hydron_func::EvalContext;
use hydron_plan::{Plan, Trigger};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// The clock of tokio, which a test stops and moves.
struct TokioClock(tokio::time::Instant);

impl Clock for TokioClock {
    fn now(&self) -> WallTime {
        WallTime(self.0.elapsed().as_micros() as i64)
    }
}

fn context() -> HostContext {
    HostContext::new(Arc::new(TokioClock(tokio::time::Instant::now())), Handle::current())
}

/// Items as the test sends them.
struct Fed(mpsc::Receiver<SourceItem>);

#[async_trait]
impl SourceReader for Fed {
    async fn next(&mut self) -> Result<Option<SourceItem>> {
        Ok(self.0.recv().await)
    }
}

fn item(rows: &[(i64, &str)]) -> SourceItem {
    let rows: Vec<Row> = rows.iter().map(|(t, k)| (*t, k.to_string(), 1)).collect();
    SourceItem::Rows { batch: batch(&rows), shard: 0, sequence: Some(rows.len() as i64) }
}

fn started(plan: &Plan, parallelism: usize, context: HostContext) -> (mpsc::Sender<SourceItem>, QueryHandle) {
    let options = BuildOptions { parallelism, ..BuildOptions::default() };
    start_pipeline(build(plan, options).unwrap(), context)
}

fn start_pipeline(pipeline: Pipeline, context: HostContext) -> (mpsc::Sender<SourceItem>, QueryHandle) {
    let (send, receive) = mpsc::channel(1);
    let handle = Query::start(pipeline, vec![Box::new(Fed(receive))], context).unwrap();
    (send, handle)
}

async fn next(handle: &mut QueryHandle) -> String {
    match handle.next_answer().await.unwrap() {
        Some(answer) => tell(&[answer.delta]),
        None => "end".to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn timers_tick_without_rows_and_the_end_tells_the_rest() {
    for parallelism in [1, 3] {
        let plan = Group::of(scan()).by(K).count().emit(emit(Trigger::Periodic(2_000))).plan();
        let (send, mut handle) = started(&plan, parallelism, context());
        let begin = tokio::time::Instant::now();
        send.send(item(&[(0, "a"), (0, "b")])).await.unwrap();
        assert_eq!(next(&mut handle).await, "a 1; b 1");
        assert_eq!(begin.elapsed().as_millis() / 10, 200);
        send.send(item(&[(0, "b")])).await.unwrap();
        drop(send);
        assert_eq!(next(&mut handle).await, "a 1; b 2");
        assert_eq!(next(&mut handle).await, "end");
        assert_eq!((handle.progress().rows_in(), handle.progress().rows_out()), (3, 4));
        assert_eq!(handle.progress().state_bytes(), 0, "what the query held is freed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_ends_the_query_in_the_middle_of_the_stream() {
    for parallelism in [1, 2] {
        let grouped = Group::of(scan()).by(K).count().emit(emit(Trigger::OnUpdate)).plan();
        let (send, mut handle) = started(&limit(grouped, 0, 2), parallelism, context());
        send.send(item(&[(0, "a")])).await.unwrap();
        assert_eq!(next(&mut handle).await, "a 1");
        send.send(item(&[(0, "a")])).await.unwrap();
        assert_eq!(next(&mut handle).await, "a 2");
        assert_eq!(next(&mut handle).await, "end");
    }
}

/// Counts the batches that were read, and makes as many as are asked for.
struct Endless(Arc<AtomicUsize>);

#[async_trait]
impl SourceReader for Endless {
    async fn next(&mut self) -> Result<Option<SourceItem>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Ok(Some(item(&[(0, "a")])))
    }
}

fn endless(context: HostContext) -> (Arc<AtomicUsize>, QueryHandle) {
    let read = Arc::new(AtomicUsize::new(0));
    let pipeline = build(&scan(), BuildOptions::default()).unwrap();
    let handle = Query::start(pipeline, vec![Box::new(Endless(Arc::clone(&read)))], context).unwrap();
    (read, handle)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_holds_back_its_query_only() {
    let (stuck, _idle_handle) = endless(HostContext { edge_batches_max: 2, ..context() });
    let (_, mut other) = endless(context());
    for _ in 0..100 {
        assert_eq!(next(&mut other).await, "0s a 1");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Two answers wait for the client, one in the query's hands, two in the inbox, one in the reader's.
    assert_eq!(stuck.load(Ordering::SeqCst), 6);
}

/// Tells when it is dropped.
struct Held(#[allow(dead_code)] Arc<()>);

#[async_trait]
impl SourceReader for Held {
    async fn next(&mut self) -> Result<Option<SourceItem>> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_error_394_and_frees_the_readers() {
    for parallelism in [1, 2] {
        let life = Arc::new(());
        let plan = Group::of(scan()).by(K).count().emit(emit(Trigger::Periodic(1_000))).plan();
        let options = BuildOptions { parallelism, ..BuildOptions::default() };
        let reader = Box::new(Held(Arc::clone(&life)));
        let mut handle = Query::start(build(&plan, options).unwrap(), vec![reader], context()).unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        handle.kill();
        assert_eq!(handle.next().await.unwrap_err().code, Code::QUERY_WAS_CANCELLED);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&life), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_handle_ends_the_query() {
    let life = Arc::new(());
    let reader = Box::new(Held(Arc::clone(&life)));
    drop(Query::start(build(&scan(), BuildOptions::default()).unwrap(), vec![reader], context()).unwrap());
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(Arc::strong_count(&life), 1);
}

/// Panics on the first row.
struct Broken;

impl Operator for Broken {
    fn on_msg(&mut self, _: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        if matches!(msg, Msg::Rows(_)) {
            panic!("index 7 of 3");
        }
        out.push(msg)
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_error_of_one_query() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut pipeline = build(&scan(), BuildOptions::default()).unwrap();
    pipeline.head.stages.push(Stage { op: Box::new(Broken), next: None });
    pipeline.sources[0].entry = Some((0, 0));
    let (send, mut broken) = start_pipeline(pipeline, context());
    let (_, mut other) = endless(context());
    send.send(item(&[(0, "a")])).await.unwrap();
    let error = broken.next().await.unwrap_err();
    std::panic::set_hook(hook);
    assert_eq!(error.code, Code::LOGICAL_ERROR);
    assert!(error.message.contains("index 7 of 3"), "{error}");
    assert_eq!(next(&mut other).await, "0s a 1");
}

#[tokio::test(start_paused = true)]
async fn state_above_the_limit_is_error_241() {
    for parallelism in [1, 2] {
        let plan = Group::of(scan()).by(K).count().emit(emit(Trigger::Periodic(1_000_000))).plan();
        let (send, mut handle) =
            started(&plan, parallelism, HostContext { memory: Budget::alone(200_000), ..context() });
        let feed = async {
            for n in 0.. {
                let rows: Vec<Row> = (0..1_000).map(|i| (0, format!("key {n} {i}"), 1)).collect();
                let item = SourceItem::Rows { batch: batch(&rows), shard: 0, sequence: None };
                if send.send(item).await.is_err() {
                    return n;
                }
            }
            0
        };
        let (batches, ended) = tokio::join!(feed, handle.next());
        assert_eq!(ended.unwrap_err().code, Code::MEMORY_LIMIT_EXCEEDED);
        assert!(batches < 100, "ended after {batches} batches");
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_continues_on_another_number_of_shards() {
    let plan = Group::of(scan()).by(K).count().emit(emit(Trigger::OnUpdate)).plan();
    for (before, after) in [(1, 3), (3, 1), (2, 4)] {
        let (send, mut handle) = started(&plan, before, context());
        send.send(item(&[(0, "a"), (0, "b"), (0, "c")])).await.unwrap();
        assert_eq!(next(&mut handle).await, "a 1; b 1; c 1");
        let checkpoint = handle.checkpoint().await.unwrap();
        assert_eq!((checkpoint.positions, checkpoint.answers), (vec![vec![(0, 3)]], 1));
        drop(handle);
        let options = BuildOptions { parallelism: after, ..BuildOptions::default() };
        let mut pipeline = build(&plan, options).unwrap();
        pipeline.restore(&checkpoint.state).unwrap();
        let (send, mut handle) = start_pipeline(pipeline, context());
        send.send(item(&[(0, "b"), (0, "c"), (0, "d")])).await.unwrap();
        assert_eq!(next(&mut handle).await, "b 2; c 2; d 1");
    }
}

/// Records that can be read again, from the one after `last` on.
struct Logged {
    records: Vec<Vec<Row>>,
    last: i64,
}

#[async_trait]
impl SourceReader for Logged {
    async fn next(&mut self) -> Result<Option<SourceItem>> {
        self.last += 1;
        match self.records.get(self.last as usize) {
            Some(rows) => Ok(Some(SourceItem::Rows { batch: batch(rows), shard: 0, sequence: Some(self.last) })),
            None => std::future::pending().await,
        }
    }

    fn origin(&self) -> Origin {
        Origin { positions: vec![(0, self.last)], rereads: true, rereads_past: true, ..Origin::default() }
    }
}

fn logged(plan: &Plan, last: i64, resume: Option<Resume>, state: Option<&[u8]>) -> QueryHandle {
    let key = |i: i64| format!("k{}", i % 7);
    let records = (0..40).map(|r| (0..5).map(|i| (r * 700 + i * 100, key(r * i), i)).collect()).collect();
    let mut pipeline = build(plan, BuildOptions::default()).unwrap();
    if let Some(state) = state {
        pipeline.restore(state).unwrap();
    }
    let options = RunOptions { traced: true, resume, ..RunOptions::default() };
    Query::run(pipeline, vec![Box::new(Logged { records, last })], context(), options).unwrap()
}

/// Answers as they are told, with the steps of each; cuts where they come.
async fn told(handle: &mut QueryHandle, answers: usize) -> (Vec<(String, Steps)>, Vec<(usize, Checkpoint)>) {
    let (mut all, mut cuts) = (Vec::new(), Vec::new());
    let asker = handle.cut_asker();
    tokio::spawn(async move { while asker.ask(0).await.is_ok() {} });
    while all.len() < answers {
        match handle.next_event().await.unwrap().unwrap() {
            Event::Answer { answer, steps, .. } => all.push((tell(&[answer.delta]), steps.unwrap_or_default())),
            Event::Cut(CutAnswer::At(cut)) => cuts.push((all.len(), *cut)),
            Event::Cut(CutAnswer::Unchanged) => {}
        }
    }
    (all, cuts)
}

#[tokio::test(start_paused = true)]
async fn steps_after_a_cut_are_taken_again_and_the_answers_go_on() {
    let count = |trigger| Group::of(scan()).by(K).count().emit(emit(trigger)).plan();
    let windows = Group::of(tumble(2)).by_window().count().emit(emit(Trigger::AfterWatermark)).plan();
    for (plan, answers) in [(scan(), 40), (count(Trigger::OnUpdate), 40), (windows, 13)] {
        let (whole, cuts) = told(&mut logged(&plan, -1, None, None), answers).await;
        assert!(cuts.len() > 3, "{} cuts", cuts.len());
        for (before, checkpoint) in &cuts {
            // Killed after each possible answer behind the cut.
            for known in *before..whole.len() {
                let mut replay = checkpoint.cut.pending.clone();
                whole[*before..known].iter().for_each(|(_, steps)| replay.append(steps).unwrap());
                let last = checkpoint.positions[0][0].1;
                let resume = Resume { cut: checkpoint.cut.clone(), replay };
                let mut again = logged(&plan, last, Some(resume), Some(&checkpoint.state));
                let (rest, _) = told(&mut again, whole.len() - known).await;
                let text = |all: &[(String, Steps)]| all.iter().map(|(t, _)| t.clone()).collect::<Vec<_>>();
                assert_eq!(text(&rest), text(&whole[known..]), "cut after {before}, killed after {known} answers");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_past_that_was_not_asked_for_is_no_step() {
    let (send, receive) = mpsc::channel(4);
    let options = RunOptions { traced: true, ..RunOptions::default() };
    let pipeline = build(&scan(), BuildOptions::default()).unwrap();
    let mut handle = Query::run(pipeline, vec![Box::new(Fed(receive))], context(), options).unwrap();
    send.send(SourceItem::BackfillEnd).await.unwrap();
    send.send(item(&[(0, "a")])).await.unwrap();
    let Event::Answer { steps: Some(steps), .. } = handle.next_event().await.unwrap().unwrap() else {
        panic!("an answer with its steps")
    };
    assert_eq!(steps.steps.iter().map(|s| s.step).collect::<Vec<_>>(), [Step::Passing]);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_and_does_not_come_again_is_waited_for_so_long() {
    let (whole, cuts) = told(&mut logged(&scan(), -1, None, None), 40).await;
    let (before, checkpoint) = &cuts[1];
    let mut replay = checkpoint.cut.pending.clone();
    replay.append(&whole[*before].1).unwrap();
    let resume = Resume { cut: checkpoint.cut.clone(), replay };
    let mut handle = logged(&scan(), 39, Some(resume), Some(&checkpoint.state));
    assert_eq!(handle.next().await.unwrap_err().code, Code::RECOVER_CHECKPOINT_FAILED);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_not_what_it_was_is_error_2528() {
    let (whole, cuts) = told(&mut logged(&scan(), -1, None, None), 40).await;
    let (before, checkpoint) = &cuts[1];
    let mut replay = checkpoint.cut.pending.clone();
    replay.append(&whole[*before].1).unwrap();
    let resume = Resume { cut: checkpoint.cut.clone(), replay };
    let mut handle = logged(&scan(), 20, Some(resume), Some(&checkpoint.state));
    let error = handle.next().await.unwrap_err();
    assert_eq!(error.code, Code::RECOVER_CHECKPOINT_FAILED, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_fails_fails_its_query() {
    struct Failing;
    #[async_trait]
    impl SourceReader for Failing {
        async fn next(&mut self) -> Result<Option<SourceItem>> {
            Err(hydron_base::Error::new(Code::CANNOT_READ_ALL_DATA, "segment 3 is damaged"))
        }
    }
    let pipeline = build(&scan(), BuildOptions::default()).unwrap();
    let mut handle = Query::start(pipeline, vec![Box::new(Failing)], context()).unwrap();
    assert_eq!(handle.next().await.unwrap_err().code, Code::CANNOT_READ_ALL_DATA);
}

#[tokio::test(start_paused = true)]
async fn a_bounded_source_runs_to_its_end_and_progress_tells_late_rows() {
    let plan = Group::of(tumble(5)).by_window().count().emit(emit(Trigger::AfterWatermark)).plan();
    let rows = |t: i64| batch(&[(t, "a".to_string(), 1)]);
    let reader = ValuesReader::new(vec![rows(1_000), rows(12_000), rows(2_000), rows(16_000)]);
    let pipeline = build(&plan, BuildOptions::default()).unwrap();
    let mut handle = Query::start(pipeline, vec![Box::new(reader)], context()).unwrap();
    assert_eq!(next(&mut handle).await, "0s 5s 1");
    assert_eq!(next(&mut handle).await, "10s 15s 1");
    assert_eq!(next(&mut handle).await, "15s 20s 1");
    assert_eq!(next(&mut handle).await, "end");
    assert_eq!(handle.progress().rows_late(), 1);
    assert_eq!(handle.progress().watermark_us(), Some(16_000_000));
    assert_eq!(handle.progress().lag_ms(WallTime(17_000_000)), Some(1_000));
}

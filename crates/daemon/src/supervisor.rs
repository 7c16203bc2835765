//! The process that stays: it owns the ports, the data directory's lock and a copy of every client socket, and replaces a worker
//! that dies.
//!
//! In: signals, packets of the worker, its faults and its end. Out: last words to clients, crash records, the next worker; at
//! the end an exit code. Promise: one thread, no SQL, no data, no runtime; the ports stay open from the first worker to the
//! last; a worker never outlives its supervisor; every wait has a deadline.

use crate::children::{End, Process, reap_orphans};
use crate::config::Config;
use crate::custodian::Custodian;
use crate::doorkeeper::Doorkeeper;
use crate::doorman::{self, Doorman};
use crate::incident::{Cause, Incident};
use crate::intensity::{Intensity, Limits};
use crate::life::{Act, Event, Life, Patience};
use crate::listeners::{Entrance, LISTENERS_VARIABLE, Ports};
use crate::packet::{self, Packet, Report};
use crate::pulse::{self, Pulse, threads_of};
use crate::signals::{self, Signals};
use crate::worker::{self, CONFIG_VARIABLE, CONTROL_VARIABLE, WORKER_COMMAND};
use crate::{dump, service};
use hydron_base::{Code, Error, Result};
use hydron_board::Board;
use hydron_store::lock::DirLock;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::process::Signal;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Names the descriptor of the board.
pub const BOARD_VARIABLE: &str = "HYDRON_BOARD";

/// Names the descriptor of the users' text.
pub const USERS_VARIABLE: &str = "HYDRON_USERS";

/// Names the descriptor that wakes the supervisor at a fault.
pub const WAKE_VARIABLE: &str = "HYDRON_WAKE";

/// Names the descriptor of the table of the door's clients.
pub const CALLERS_VARIABLE: &str = "HYDRON_CALLERS";

/// Names the ports of the workers behind the door.
pub const ENTRANCES_VARIABLE: &str = "HYDRON_ENTRANCES";

/// After its own last deadline a worker has this long until it is killed.
const KILL_AFTER: Duration = Duration::from_secs(2);

/// Copies of closed sockets are let go of so often.
const SWEEP: Duration = Duration::from_millis(100);

/// While a worker is dying: clients in the middle of a frame are looked at again so often.
const RETELL: Duration = Duration::from_millis(2);

/// The worker's sign of life is looked at so often.
const LOOK: Duration = Duration::from_millis(500);

/// A standby begins this long after its worker is ready: the worker comes first.
const STANDBY_PAUSE: Duration = Duration::from_millis(50);

/// Whose INSERT met a disk that fails is told by the worker itself; after this it is replaced.
const BROKEN_GRACE: Duration = Duration::from_millis(100);

/// A dying worker that hung is killed after this, its stacks saved or not.
const HANG_DUMP: Duration = Duration::from_secs(2);

/// What the one who starts the server hears of it.
pub trait Owner {
    /// A worker answers on the ports.
    fn ready(&mut self, worker: u32, ports: &[(&'static str, String)]);

    /// The configuration as it is now, for SIGHUP.
    fn reload(&mut self) -> Result<Config>;
}

/// Runs until told to stop. The return value is the exit code of the process.
pub fn run(config: &Config, owner: &mut dyn Owner) -> Result<i32> {
    signals::block();
    raise_descriptor_limit();
    let started_at =
        hydron_engine::statement::text::utc(hydron_base::world::Clock::now(&hydron_base::world::SystemClock));
    let lock = DirLock::take(&config.path, &started_at, hydron_engine::engine::REVISION).map_err(Error::from)?;
    if let Some(left) = lock.left_behind() {
        tell(&format!(
            "the previous server on this directory did not stop gracefully: {}",
            left.trim().replace('\n', ", ")
        ));
    }
    let users = users_file(&config.users_text()?)?;
    let ports = Ports::bind(config)?;
    let doorkeeper = Doorkeeper::of(&ports).map_err(|e| system("make the shared memory", e))?;
    let board = Board::create().map_err(|e| system("make the shared memory", e))?;
    let signals = Signals::open().map_err(|e| system("listen to signals", e))?;
    let wake =
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|e| system("make an eventfd", e.into()))?;
    let patience = Patience {
        dump: Duration::from_millis(config.crash.dump_deadline_ms),
        hang_dump: Duration::from_millis(config.crash.dump_deadline_ms).max(HANG_DUMP),
        stop: Duration::from_millis(config.shutdown.total_ms) + KILL_AFTER,
        standby: STANDBY_PAUSE,
    };
    let mut supervisor = Supervisor {
        config: config.clone(),
        board,
        ports,
        signals,
        wake,
        users,
        pulses: [Pulse::of(worker::IO_NAME), Pulse::of(hydron_engine::engine::CPU_NAME)],
        broken_since: None,
        custodian: Custodian::new(board),
        doorman: Doorman::default(),
        life: Life::new(patience),
        intensity: Intensity::default(),
        worker: None,
        standby: None,
        doorkeeper,
        dumper: None,
        stacks: None,
        incident: None,
        cause: Cause::Fault,
        failure: None,
        last_signal: 0,
        begun: Instant::now(),
        released: Instant::now(),
        _lock: lock,
    };
    if let Some(doorkeeper) = &mut supervisor.doorkeeper {
        doorkeeper.open(config, &supervisor.ports)?;
    }
    supervisor.release()?;
    supervisor.watch(owner)
}

struct Supervisor {
    config: Config,
    board: &'static Board,
    ports: Ports,
    signals: Signals,
    wake: OwnedFd,
    /// The text of the users' file as it was when it was last good: a worker that starts later reads this one.
    users: OwnedFd,
    /// The socket threads and the computing threads of the worker.
    pulses: [Pulse; 2],
    /// When the disk was first seen to have failed.
    broken_since: Option<Instant>,
    custodian: Custodian,
    doorman: Doorman,
    life: Life,
    intensity: Intensity,
    worker: Option<Process>,
    standby: Option<Process>,
    doorkeeper: Option<Doorkeeper>,
    /// Walks the stacks of a dying worker, and later gives names to what it found.
    dumper: Option<Process>,
    /// Writes the stacks of a living worker.
    stacks: Option<Process>,
    incident: Option<Incident>,
    cause: Cause,
    /// Why the first worker could not start.
    failure: Option<(u16, String)>,
    last_signal: i32,
    begun: Instant,
    released: Instant,
    _lock: DirLock,
}

/// What a poll can wake for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Wake,
    Worker,
    Control,
    Standby,
    Door,
    Dumper,
    DumperControl,
    Stacks,
}

impl Supervisor {
    fn watch(&mut self, owner: &mut dyn Owner) -> Result<i32> {
        let mut swept = Instant::now();
        loop {
            for source in self.wait() {
                let acts = self.hear(source, owner)?;
                if let Some(code) = self.act(acts)? {
                    return Ok(code);
                }
            }
            let now = self.begun.elapsed();
            if let Some(doorkeeper) = &mut self.doorkeeper {
                doorkeeper.look(&self.config, &self.ports);
            }
            let mut acts = self.life.on(Event::Tick, now);
            acts.extend(self.look());
            if let Some(code) = self.act(acts)? {
                return Ok(code);
            }
            if self.life.is_dying()
                && let Some(incident) = &self.incident
            {
                self.custodian.tell(incident, false);
            }
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                if !self.life.is_dying() {
                    self.custodian.sweep();
                }
                if self.life.is_ready() {
                    self.doorman.see_out();
                } else if self.down_since().is_some_and(|since| since.elapsed() >= doorman::PATIENCE) {
                    self.doorman.answer(&self.ports.workers);
                }
                service::alive();
            }
        }
    }

    /// Since when no worker answers, where one did before.
    fn down_since(&self) -> Option<Instant> {
        (self.life.has_worked() && !self.life.is_ready()).then_some(self.released)
    }

    /// Waits until something happens or time is up.
    fn wait(&self) -> Vec<Source> {
        let mut sources = vec![(Source::Signals, self.signals.as_fd()), (Source::Wake, self.wake.as_fd())];
        let children = [
            (&self.worker, Source::Worker, Some(Source::Control)),
            (&self.standby, Source::Standby, None),
            (&self.dumper, Source::Dumper, Some(Source::DumperControl)),
            (&self.stacks, Source::Stacks, None),
        ];
        for (process, end, control) in children {
            if let Some(process) = process {
                sources.push((end, process.as_fd()));
                sources.extend(control.map(|c| (c, process.control.as_fd())));
            }
        }
        if let Some(doorkeeper) = &self.doorkeeper {
            sources.extend(doorkeeper.descriptors().map(|fd| (Source::Door, fd)));
        }
        let mut fds: Vec<PollFd<'_>> =
            sources.iter().map(|(_, fd)| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let is_quiet = self.custodian.count() == 0 && self.life.is_ready();
        let mut timeout = if is_quiet { LOOK } else { SWEEP };
        if self.life.is_dying() {
            timeout = RETELL;
        }
        if let Some(at) = self.life.deadline() {
            timeout = timeout.min(at.saturating_sub(self.begun.elapsed()));
        }
        let timeout = timespec(timeout);
        // An interrupted poll is a poll without news.
        let _ = poll(&mut fds, Some(&timeout));
        let mut ready: Vec<Source> =
            sources.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|((s, _), _)| *s).collect();
        ready.sort_by_key(|s| match s {
            Source::Control => 0,
            Source::Wake => 1,
            Source::Worker => 3,
            _ => 2,
        });
        ready
    }

    fn hear(&mut self, source: Source, owner: &mut dyn Owner) -> Result<Vec<Act>> {
        let now = self.begun.elapsed();
        Ok(match source {
            Source::Signals => {
                let mut acts = Vec::new();
                while let Some(signal) = self.signals.next() {
                    acts.extend(self.signalled(signal, owner));
                }
                acts
            }
            Source::Wake => {
                let mut count = [0u8; 8];
                let _ = rustix::io::read(&self.wake, &mut count);
                self.cause = Cause::Fault;
                if self.board.worker().is_crashed() { self.life.on(Event::Fault, now) } else { Vec::new() }
            }
            Source::Control => self.packets(owner),
            Source::Worker => {
                let mut acts = self.packets(owner);
                if let Some(end) = self.worker.as_mut().and_then(Process::end) {
                    acts.extend(self.died(end)?);
                }
                acts
            }
            Source::Standby => match self.standby.as_mut().and_then(Process::end) {
                Some(end) => {
                    tell(&format!("the standby {end}"));
                    self.standby = None;
                    self.life.on(Event::StandbyDied, now)
                }
                None => Vec::new(),
            },
            Source::Door => {
                if let Some(doorkeeper) = &mut self.doorkeeper {
                    doorkeeper.hear(self.life.is_stopping());
                }
                Vec::new()
            }
            Source::DumperControl => {
                let Some(dumper) = &self.dumper else { return Ok(Vec::new()) };
                match packet::receive(&dumper.control) {
                    Packet::Report(Report::Walked) => self.life.on(Event::Dumped, now),
                    _ => Vec::new(),
                }
            }
            Source::Dumper => {
                if self.dumper.as_mut().and_then(Process::end).is_some() {
                    self.dumper = None;
                    return Ok(self.life.on(Event::Dumped, now));
                }
                Vec::new()
            }
            Source::Stacks => {
                if self.stacks.as_mut().and_then(Process::end).is_some() {
                    self.stacks = None;
                }
                Vec::new()
            }
        })
    }

    fn signalled(&mut self, signal: i32, owner: &mut dyn Owner) -> Vec<Act> {
        match signal {
            libc::SIGTERM | libc::SIGINT => {
                self.last_signal = signal;
                self.standby = None;
                service::stopping();
                self.life.on(Event::Stop, self.begun.elapsed())
            }
            libc::SIGHUP => {
                match owner.reload() {
                    Ok(config) => self.reconfigure(config),
                    Err(e) => tell(&format!("the configuration is kept as it was: {e}")),
                }
                Vec::new()
            }
            libc::SIGQUIT => {
                self.write_stacks();
                Vec::new()
            }
            libc::SIGCHLD => {
                if std::process::id() == 1 {
                    let door = self.doorkeeper.as_ref().and_then(Doorkeeper::pid).unwrap_or(0);
                    let known = [&self.worker, &self.standby, &self.dumper, &self.stacks];
                    let mut known = known.map(|p| p.as_ref().map_or(0, Process::pid)).to_vec();
                    known.push(door);
                    reap_orphans(&known);
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Takes the worker's packets: sockets to hold, and what it says of itself.
    fn packets(&mut self, owner: &mut dyn Owner) -> Vec<Act> {
        let mut acts = Vec::new();
        while let Some(worker) = &self.worker {
            match packet::receive(&worker.control) {
                Packet::Hold { index, generation, socket } => self.custodian.hold(index, generation, socket),
                Packet::Report(Report::Ready) => {
                    acts.extend(self.life.on(Event::Ready, self.begun.elapsed()));
                    let addresses = self.ports.addresses();
                    owner.ready(worker.pid(), &addresses);
                    service::ready();
                }
                Packet::Report(Report::Failed { code, message }) => self.failure = Some((code, message)),
                Packet::Report(Report::Walked) => {}
                Packet::Nothing => break,
            }
        }
        acts
    }

    fn died(&mut self, end: End) -> Result<Vec<Act>> {
        let pid = self.worker.as_ref().map_or(0, Process::pid);
        // A worker that could not start has said why; starting it again would say the same.
        if let (false, Some((code, message))) = (self.life.has_worked(), self.failure.take()) {
            return Err(Error::new(Code::from_number(code).unwrap_or(Code::SYSTEM_ERROR), message));
        }
        if !self.life.is_stopping() && end != End::Code(0) && self.incident.is_none() {
            tell(&format!("worker {pid} {end}"));
        }
        let code = match end {
            End::Code(code) => Some(code),
            End::Signal(_) => None,
        };
        if self.incident.is_none() {
            self.cause = match end {
                End::Code(code) => Cause::Exited(code),
                End::Signal(signal) => Cause::Killed(signal),
            };
        }
        Ok(self.life.on(Event::Died { code }, self.begun.elapsed()))
    }

    /// The worker's signs of life, and of a disk that has failed it.
    fn look(&mut self) -> Vec<Act> {
        if !self.life.is_ready() {
            return Vec::new();
        }
        let (worker, now) = (self.board.worker(), Instant::now());
        if worker.has_disk_fault() {
            let since = *self.broken_since.get_or_insert(now);
            if now.saturating_duration_since(since) < BROKEN_GRACE {
                return Vec::new();
            }
            self.cause = Cause::Disk;
            return self.life.on(Event::Broken, self.begun.elapsed());
        }
        let limits = pulse::Limits {
            blocked: Duration::from_millis(self.config.crash.hang_ms),
            busy: Duration::from_millis(self.config.crash.busy_ms),
        };
        let pid = self.worker.as_ref().map_or(0, Process::pid);
        for (pulse, beat) in self.pulses.iter_mut().zip([&worker.beat_ms, &worker.compute_beat_ms]) {
            let beat = beat.load(Ordering::Relaxed);
            if beat == 0 {
                continue;
            }
            let silent = Duration::from_millis(worker::monotonic_ms().saturating_sub(beat));
            if let Some(hang) = pulse.check(silent, now, limits, |name| threads_of(pid, name)) {
                tell(&hang.to_string());
                self.cause = Cause::Hang(hang);
                return self.life.on(Event::Hung, self.begun.elapsed());
            }
        }
        Vec::new()
    }

    fn act(&mut self, acts: Vec<Act>) -> Result<Option<i32>> {
        for act in acts {
            match act {
                Act::TellClients => self.begin_incident(),
                Act::TellRest => {
                    if let Some(incident) = &self.incident {
                        self.custodian.tell(incident, true);
                    }
                }
                Act::Record => self.record(),
                Act::Dump => self.dump(),
                Act::KillWorker => {
                    if let Some(worker) = &self.worker {
                        worker.signal(Signal::KILL);
                    }
                }
                Act::StopDump => self.stop_dump(),
                Act::Release => self.release()?,
                Act::StartStandby => match self.start() {
                    Ok(standby) => self.standby = Some(standby),
                    Err(e) => tell(&format!("no standby: {e}")),
                },
                Act::AskToStop => self.ask_to_stop(),
                Act::Exit(code) => {
                    self.standby = None;
                    self.custodian.close_all();
                    if let Some(doorkeeper) = &mut self.doorkeeper {
                        doorkeeper.close();
                    }
                    self.finish_dump();
                    return Ok(Some(code));
                }
            }
        }
        Ok(None)
    }

    /// Clients first: everything else can wait.
    fn begin_incident(&mut self) {
        // A worker that hangs may wake up: what clients are told now must stay true.
        self.board.worker().set_crashed();
        let (pid, up) = (self.worker.as_ref().map_or(0, Process::pid), self.released.elapsed());
        // Sockets that were accepted before the fault may still be on their way.
        while let Some(worker) = &self.worker
            && let Packet::Hold { index, generation, socket } = packet::receive(&worker.control)
        {
            self.custodian.hold(index, generation, socket);
        }
        let incident = Incident::of(self.board, self.cause, up, pid);
        self.custodian.tell(&incident, false);
        self.incident = Some(incident);
    }

    /// What follows for the next worker, and the record on the disk.
    fn record(&mut self) {
        let Some(incident) = &mut self.incident else { return };
        let limits = Limits { quarantine: self.config.crash.quarantine, safe_mode: self.config.crash.safe_mode };
        let report = &incident.report;
        let consequence = self.intensity.crashed(self.begun.elapsed(), report.fingerprint, limits);
        if consequence.quarantine {
            let entry = self.board.quarantined(report.query_hash);
            if let Some(entry) = entry.or_else(|| self.board.quarantine().iter().find(|q| !q.is_set())) {
                entry.crashes.store(consequence.same, Ordering::Relaxed);
                entry.fingerprint.store(report.fingerprint, Ordering::Relaxed);
                entry.since_us.store(report.wall_us, Ordering::Relaxed);
                entry.incident.set(&report.incident_id);
                entry.user.set(&report.user);
                entry.reason.set(&format!("{} crashes ({}) within 60 s", consequence.same, report.signal_name));
                entry.text.set(&report.query);
                entry.set(report.query_hash);
            }
        }
        if consequence.safe_mode && !self.board.worker().is_safe_mode() {
            tell(
                "the server crashes again and again: it goes on in safe mode, without writes, until SYSTEM LEAVE SAFE MODE",
            );
            self.board.worker().set_safe_mode(true);
        }
        incident.decide(consequence);
        tell(&format!(
            "incident {}: worker {} {} {} query id '{}'",
            incident.id(),
            incident.report.pid,
            incident.report.cause,
            incident.report.signal_name,
            incident.report.query_id
        ));
        if let Err(e) = incident.write(&self.config.path) {
            tell(&format!("the crash record cannot be written: {e}"));
        }
    }

    fn dump(&mut self) {
        self.finish_dump();
        let Some((incident, worker)) = self.incident.as_ref().zip(self.worker.as_ref()) else { return };
        let job = dump::Job {
            pid: worker.pid(),
            data_dir: self.config.path.clone(),
            incident: Some(incident.id().to_string()),
            all_stacks: matches!(self.cause, Cause::Hang(_)),
        };
        match dump::start(&job, self.board) {
            Ok(process) => self.dumper = Some(process),
            Err(e) => tell(&format!("no minidump: {e}")),
        }
    }

    /// What it has written of the dump is no dump.
    fn stop_dump(&mut self) {
        let (Some(dumper), Some(incident)) = (&self.dumper, &self.incident) else { return };
        dumper.signal(Signal::KILL);
        tell(&format!("the dump of incident {} took too long and was ended", incident.id()));
        let _ = std::fs::remove_file(dump::minidump_path(&self.config.path, incident.id()));
    }

    fn write_stacks(&mut self) {
        let Some(worker) = &self.worker else { return };
        if self.stacks.is_some() {
            return;
        }
        let job = dump::Job { pid: worker.pid(), data_dir: self.config.path.clone(), incident: None, all_stacks: true };
        match dump::start(&job, self.board) {
            Ok(process) => self.stacks = Some(process),
            Err(e) => tell(&format!("the stacks cannot be written: {e}")),
        }
    }

    /// A dump that still gives names to its frames keeps what it has written so far.
    fn finish_dump(&mut self) {
        self.dumper = None;
    }

    /// Lets the next worker begin: with the board cleared, and the connections that it goes on with.
    fn release(&mut self) -> Result<()> {
        self.worker = None;
        let waiting = self.standby.take().filter(|s| !s.has_ended());
        let next = waiting.map_or_else(|| self.start(), Ok)?;
        self.board.worker().reset();
        self.board.worker().pid.store(next.pid(), Ordering::Relaxed);
        self.board.crash().reset();
        self.board.log_lines().clear();
        self.broken_since = None;
        let mut drained = [0u8; 8];
        let _ = rustix::io::read(&self.wake, &mut drained);
        let adopted = self.custodian.hand_over();
        let handed =
            packet::hand_over(&next.control, &adopted).and_then(|()| packet::send(&next.control, packet::START));
        if let Err(e) = handed {
            tell(&format!("the next worker does not listen: {e}"));
        }
        self.incident = None;
        self.cause = Cause::Fault;
        self.released = Instant::now();
        self.worker = Some(next);
        Ok(())
    }

    /// Starts a worker that waits to be released.
    fn start(&self) -> Result<Process> {
        let config = serde_json::to_string(&self.config).map_err(|e| Error::bug(e.to_string()))?;
        let mut inherited = self.ports.workers.descriptors();
        inherited.push(self.board.fd().as_fd());
        inherited.push(self.wake.as_fd());
        let callers = self.doorkeeper.as_ref().map(|d| d.callers().fd());
        inherited.extend(callers.map(|fd| fd.as_fd()));
        inherited.push(self.users.as_fd());
        let variables = [
            (LISTENERS_VARIABLE, self.ports.workers.describe()),
            (ENTRANCES_VARIABLE, Entrance::describe(&self.ports.entrances())),
            (CALLERS_VARIABLE, callers.map_or(String::new(), |fd| fd.as_raw_fd().to_string())),
            (CONFIG_VARIABLE, config),
            (BOARD_VARIABLE, self.board.fd().as_raw_fd().to_string()),
            (WAKE_VARIABLE, self.wake.as_raw_fd().to_string()),
            (USERS_VARIABLE, self.users.as_raw_fd().to_string()),
        ];
        Process::start(WORKER_COMMAND, &inherited, &variables, CONTROL_VARIABLE)
            .map_err(|e| system("start a worker", e))
    }

    fn ask_to_stop(&mut self) {
        let signal = if self.last_signal == libc::SIGINT { Signal::INT } else { Signal::TERM };
        if let Some(worker) = &self.worker {
            worker.signal(signal);
        }
        if let Some(doorkeeper) = &self.doorkeeper {
            doorkeeper.signal(Signal::TERM);
        }
    }

    /// Hands a changed configuration to the worker; what cannot change while it runs waits for the next start.
    fn reconfigure(&mut self, config: Config) {
        let Ok(text) = serde_json::to_string(&config) else { return };
        if let Err(e) = config.users_text().and_then(|users| put_users(&self.users, &users)) {
            tell(&format!("the users are kept as they were: {e}"));
        }
        self.config = config;
        // It was started with the old one.
        self.standby = None;
        let _ = self.life.on(Event::StandbyDied, self.begun.elapsed());
        if let Some(worker) = &self.worker
            && let Err(e) = packet::send(&worker.control, format!("{}{text}", packet::CONFIG).as_bytes())
        {
            tell(&format!("the worker does not take the configuration: {e}"));
        }
        if let Some(doorkeeper) = &self.doorkeeper {
            doorkeeper.signal(Signal::HUP);
        }
        tell("the configuration was read again");
    }
}

pub(crate) fn timespec(time: Duration) -> rustix::time::Timespec {
    rustix::time::Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}

/// A file in memory with the users' text, for workers to inherit.
fn users_file(text: &str) -> Result<OwnedFd> {
    let file = rustix::fs::memfd_create("hydron-users", rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(|e| system("make a file in memory", e.into()))?;
    put_users(&file, text)?;
    Ok(file)
}

fn put_users(file: &OwnedFd, text: &str) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::from(file.try_clone().map_err(|e| system("copy a descriptor", e))?);
    let put = file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0));
    put.map_err(|e| system("keep the users", e))
}

/// A line for the operator; a terminal that is gone must not end the supervisor.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

pub(crate) fn system(what: &str, e: std::io::Error) -> Error {
    Error::new(Code::SYSTEM_ERROR, format!("cannot {what}: {e}"))
}

/// A supervisor keeps little: huge pages under its heap would be most of its memory. The first of them lie there before any
/// code of ours runs, so the program begins anew without. Workers ask for theirs again. Where it cannot begin anew it goes on.
pub fn stay_small() {
    // SAFETY: reads an attribute of this process.
    if unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) } != 0 {
        return;
    }
    // SAFETY: changes an attribute of this process, which outlives exec.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    if let Ok(program) = std::env::current_exe() {
        use std::os::unix::process::CommandExt;
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_else(|| program.clone().into());
        let _ = std::process::Command::new(program).arg0(name).args(arguments).exec();
    }
}

/// As many descriptors as the system allows: each client needs one here and one in the worker.
fn raise_descriptor_limit() {
    // SAFETY: reads and writes one structure of ours.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

//! The door as its supervisor sees it: started first, started again when it dies, ended last.
//!
//! In: the TLS ports, what the door reports, its end. Out: a door at the ports. Promise: a server whose certificate cannot be
//! used does not start; a door that dies takes its own connections along and nothing else, and those that come meanwhile wait in
//! the queues of the ports.

use crate::children::Process;
use crate::config::Config;
use crate::door::DOOR_COMMAND;
use crate::listeners::{Entrance, LISTENERS_VARIABLE, Ports};
use crate::packet::{self, Packet, Report};
use crate::restart::Restarts;
use crate::supervisor::{CALLERS_VARIABLE, ENTRANCES_VARIABLE, system, tell, timespec};
use crate::worker::{CONFIG_VARIABLE, CONTROL_VARIABLE};
use hydron_base::{Code, Error, Result};
use hydron_board::Callers;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// The door has this long to read its certificate when the server starts.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);

/// At the end the door has this long to send what is on its way.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

pub struct Doorkeeper {
    callers: &'static Callers,
    process: Option<Process>,
    restarts: Restarts,
    is_ready: bool,
    /// When it is started again.
    again_at: Option<Instant>,
}

impl Doorkeeper {
    /// `None`: there are no TLS ports.
    pub fn of(ports: &Ports) -> io::Result<Option<Doorkeeper>> {
        if ports.entrances().is_empty() {
            return Ok(None);
        }
        Ok(Some(Doorkeeper {
            callers: Callers::create()?,
            process: None,
            restarts: Restarts::default(),
            is_ready: false,
            again_at: None,
        }))
    }

    pub fn callers(&self) -> &'static Callers {
        self.callers
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// What to poll for [`Doorkeeper::hear`].
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let control = self.process.as_ref().filter(|_| !self.is_ready).map(|p| p.control.as_fd());
        self.process.as_ref().map(Process::as_fd).into_iter().chain(control)
    }

    /// Starts the door and waits until it has read its certificate. Errors: what the door says of it.
    pub fn open(&mut self, config: &Config, ports: &Ports) -> Result<()> {
        self.start(config, ports)?;
        let begun = Instant::now();
        while let Some(door) = &mut self.process
            && !self.is_ready
        {
            let left = OPEN_PATIENCE.saturating_sub(begun.elapsed());
            let mut fds = [door.control.as_fd(), door.as_fd()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            let _ = poll(&mut fds, Some(&timespec(left)));
            match packet::receive(&door.control) {
                Packet::Report(Report::Ready) => self.is_ready = true,
                Packet::Report(Report::Failed { code, message }) => {
                    return Err(Error::new(Code::from_number(code).unwrap_or(Code::SYSTEM_ERROR), message));
                }
                _ => match door.end() {
                    Some(end) => {
                        return Err(Error::new(Code::SYSTEM_ERROR, format!("the door of the TLS ports {end}")));
                    }
                    None if left.is_zero() => {
                        let text = format!("the door of the TLS ports was not ready within {OPEN_PATIENCE:?}");
                        return Err(Error::new(Code::SYSTEM_ERROR, text));
                    }
                    None => {}
                },
            }
        }
        Ok(())
    }

    fn start(&mut self, config: &Config, ports: &Ports) -> Result<()> {
        self.again_at = None;
        let config = serde_json::to_string(config).map_err(|e| Error::bug(e.to_string()))?;
        let mut inherited = ports.door.descriptors();
        inherited.push(self.callers.fd().as_fd());
        let variables = [
            (LISTENERS_VARIABLE, ports.door.describe()),
            (ENTRANCES_VARIABLE, Entrance::describe(&ports.entrances())),
            (CONFIG_VARIABLE, config),
            (CALLERS_VARIABLE, self.callers.fd().as_raw_fd().to_string()),
        ];
        let process = Process::start(DOOR_COMMAND, &inherited, &variables, CONTROL_VARIABLE);
        self.process = Some(process.map_err(|e| system("start the door of the TLS ports", e))?);
        self.is_ready = false;
        Ok(())
    }

    /// Starts a door that has died again, when it is time.
    pub fn look(&mut self, config: &Config, ports: &Ports) {
        if self.again_at.is_some_and(|at| Instant::now() >= at)
            && let Err(e) = self.start(config, ports)
        {
            tell(&e.to_string());
            self.again_at = Some(Instant::now() + self.restarts.died(false));
        }
    }

    /// Takes what the door reports, and its end.
    pub fn hear(&mut self, is_stopping: bool) {
        let Some(door) = &mut self.process else { return };
        match packet::receive(&door.control) {
            Packet::Report(Report::Ready) => self.is_ready = true,
            Packet::Report(Report::Failed { message, .. }) => tell(&format!("the door of the TLS ports: {message}")),
            _ => {}
        }
        let Some(end) = door.end() else { return };
        self.process = None;
        self.callers.clear_all();
        if !is_stopping {
            tell(&format!("the door of the TLS ports {end}"));
            self.again_at = Some(Instant::now() + self.restarts.died(self.is_ready));
        }
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(door) = &self.process {
            door.signal(signal);
        }
    }

    /// What the worker has said last is passed on; then the door ends too.
    pub fn close(&mut self) {
        let Some(mut door) = self.process.take() else { return };
        door.signal(Signal::TERM);
        let begun = Instant::now();
        while door.end().is_none() && begun.elapsed() < CLOSE_PATIENCE {
            let left = CLOSE_PATIENCE.saturating_sub(begun.elapsed());
            let _ = poll(&mut [PollFd::from_borrowed_fd(door.as_fd(), PollFlags::IN)], Some(&timespec(left)));
        }
    }
}

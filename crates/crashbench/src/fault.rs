//! The ways in which a worker is made to die.

/// How a fault is brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// `select trap('…')` by the victim itself.
    Trap(&'static str),
    /// A signal from outside while the victim's query runs.
    Signal(i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// As it is given to `--faults` and stands in each line.
    pub name: &'static str,
    pub means: Means,
    /// Signals that a record of it may name; none: the process catches it, and it becomes an error of the victim's query.
    pub signals: &'static [i32],
    /// One of these stands in the name of one of the three innermost functions.
    pub functions: &'static [&'static str],
}

const fn trap(
    name: &'static str,
    mode: &'static str,
    signals: &'static [i32],
    functions: &'static [&'static str],
) -> Fault {
    Fault { name, means: Means::Trap(mode), signals, functions }
}

const fn from_outside(name: &'static str, signal: i32, signals: &'static [i32]) -> Fault {
    Fault { name, means: Means::Signal(signal), signals, functions: &[] }
}

/// Every fault.
pub const FAULTS: &[Fault] = &[
    trap("segv_null", "read nullptr c++", &[libc::SIGSEGV], &["read_null", "trap"]),
    trap("wild_write", "wild write", &[libc::SIGSEGV, libc::SIGBUS], &["write", "trap"]),
    trap("stack_overflow", "stack overflow", &[libc::SIGSEGV, libc::SIGBUS], &["overflow", "trap"]),
    trap("abort", "abort", &[libc::SIGABRT], &["abort", "trap"]),
    trap("illegal_instruction", "illegal instruction", &[libc::SIGILL], &["illegal", "trap"]),
    trap("fpe", "fpe", &[libc::SIGFPE], &["divide", "trap"]),
    trap("bus", "bus", &[libc::SIGBUS], &["read_behind", "trap"]),
    trap("panic_in_drop", "panic in drop", &[libc::SIGABRT], &["abort", "panic", "trap"]),
    // The record may name the first fault or the second.
    trap("double_fault", "double fault", &[libc::SIGSEGV, libc::SIGILL], &["read_null", "illegal", "trap"]),
    trap("allocator_lock", "allocator lock", &[libc::SIGSEGV, libc::SIGABRT], &["mi_", "alloc", "free", "trap"]),
    trap("threads_8", "8 threads", &[libc::SIGSEGV], &["read_null", "trap"]),
    trap("panic", "panic", &[], &[]),
    trap("panic_in_drop_alone", "panic in drop alone", &[], &[]),
    from_outside("sigkill", libc::SIGKILL, &[libc::SIGKILL]),
    from_outside("segv_outside", libc::SIGSEGV, &[libc::SIGSEGV]),
];

impl Fault {
    pub fn named(name: &str) -> Option<Fault> {
        FAULTS.iter().copied().find(|f| f.name == name)
    }

    /// The faults that `list` names, separated by commas; `all` is every one. Errors: the name that is unknown.
    pub fn parse_list(list: &str) -> Result<Vec<Fault>, String> {
        if list == "all" {
            return Ok(FAULTS.to_vec());
        }
        let unknown = |name: &str| {
            let names: Vec<_> = FAULTS.iter().map(|f| f.name).collect();
            format!("fault '{name}' is unknown; there are: {}", names.join(", "))
        };
        list.split(',').map(str::trim).map(|name| Fault::named(name).ok_or_else(|| unknown(name))).collect()
    }

    /// The process goes on, and the victim's query has an error.
    pub fn is_caught(&self) -> bool {
        self.signals.is_empty()
    }

    /// Whether the dying process can say a last word.
    pub fn has_handler(&self) -> bool {
        self.means != Means::Signal(libc::SIGKILL)
    }

    /// Whether the victim's own query brings it about, so that the error must name that query.
    pub fn is_by_query(&self) -> bool {
        matches!(self.means, Means::Trap(_))
    }
}

/// `SIGSEGV`; empty for a signal that no fault raises.
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGFPE => "SIGFPE",
        libc::SIGABRT => "SIGABRT",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGSYS => "SIGSYS",
        libc::SIGKILL => "SIGKILL",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_faults_or_say_what_is_unknown() {
        assert_eq!(Fault::parse_list("all").unwrap().len(), FAULTS.len());
        let two = Fault::parse_list("sigkill, abort").unwrap();
        assert_eq!(two.iter().map(|f| f.name).collect::<Vec<_>>(), ["sigkill", "abort"]);
        assert!(!two[0].has_handler() && two[1].has_handler() && two[1].is_by_query());
        assert!(Fault::parse_list("sigkill,ab").unwrap_err().contains("'ab'"));
    }

    #[test]
    fn each_signal_of_a_fault_has_a_name() {
        assert!(FAULTS.iter().flat_map(|f| f.signals).all(|s| !signal_name(*s).is_empty()));
    }
}

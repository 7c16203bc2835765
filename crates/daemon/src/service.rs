//! What the system's service manager hears of the server, where there is one.

use sd_notify::NotifyState;

/// The ports answer.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// It lives: for WatchdogSec.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(state: &[NotifyState<'_>]) {
    // Without NOTIFY_SOCKET nobody listens, and a manager that does not take a word does without.
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        let _ = sd_notify::notify(state);
    }
}

//! Ctrl-C and termination: noted here, acted on by whoever waits for the problem's next answer.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

static RAISED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Notes interrupts from now on instead of dying of them. A second one kills as usual.
///
/// # Errors
/// When the kernel refuses a handler.
pub fn watch() -> io::Result<()> {
    let raised = RAISED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The order matters: the first signal finds the flag down, and only then raises it.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(raised))?;
        signal_hook::flag::register(signal, Arc::clone(raised))?;
    }
    Ok(())
}

/// Whether the user wants to stop.
pub fn raised() -> bool {
    // Relaxed: the flag orders nothing else.
    RAISED.get().is_some_and(|raised| raised.load(Ordering::Relaxed))
}

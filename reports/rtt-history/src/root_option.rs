//! The option that every command over a root has.

use clap::Args;
use std::path::PathBuf;

// No doc comment here: a command that flattens it would take it for its own.
#[derive(Args)]
pub struct RootOption {
    /// The folder that holds .rtt.
    #[arg(long = "root", value_name = "ROOT", default_value = ".")]
    pub folder: PathBuf,
}

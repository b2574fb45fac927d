//! Mistakes that the simulator must find: what proves that it would find others.
//!
//! Each is built around the code under test, never into it.

/// One mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Mutant {
    /// None.
    #[default]
    None,
    /// Syncs of files and of everything are only said to be done.
    NoSync,
    /// The log is read as by a scan that does not ask for a record's parent.
    NoChainCheck,
    /// The log is read as by a scan that does not ask for a record's number.
    NoSequenceCheck,
    /// The log is read as by a scan that cuts any damage as if it were a torn write.
    CutsDamage,
    /// The log is read as by a scan that does not say what it cut.
    CutsUnsaid,
    /// A log that lost its end is opened without what its witness saw.
    NoWitness,
    /// A collection lists the roots before the leases.
    LeaseAfterRoots,
}

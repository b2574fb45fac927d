//! The endpoint as a process: each knob shows in what it does, and what a client gets wrong does no harm.

mod endpoint_process;
mod hostile_client;
mod knobs;
mod older_endpoint;
mod operator;
mod operator_store;
mod shipped_profile;

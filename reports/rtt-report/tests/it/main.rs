//! Pages as their readers meet them: whole runs, interrupted ones, hostile ones, and in a browser.

mod browser;
mod by_scenario;
mod gate;
mod gate_generator;
mod generator;
mod markup;
mod pages;
mod program;

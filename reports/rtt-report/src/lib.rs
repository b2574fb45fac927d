//! One run, or one gate, as one HTML file, drawn from its folder: `trials.jsonl` (the log) and `fit.json` (what the tuner
//! made of it), or `verdict.json` (what the gate decided) and the logs that it names.
//!
//! Read [`Run::read`], then [`render`], then [`write_page`]; or [`GateFolder::read`], then [`render_gate`]. Nothing is
//! measured or judged here: verdict, intervals and reasons come from fit and verdict; figures come from the logs'
//! records; what is absent is said with its reason.
//!
//! REPORT-1  The page names no outside resource, runs no script, and every text from a file is escaped.
//! REPORT-2  A figure that is missing or not finite is a dash with its reason; `NaN` and `inf` are never printed or drawn.
//! REPORT-3  Every chart has a title, a description and a table with the same figures.

mod by_scenario;
mod charts;
mod confirmation;
mod environment;
mod evidence;
mod gate;
mod knobs;
mod machine;
mod merged;
mod page;
mod run;
mod search;
mod svg;
mod table;
mod template;
mod trials;
mod verdict;
mod words;
mod write;

pub use gate::{GateFolder, ReadGateError, render_gate};
pub use page::render;
pub use run::{ListedRun, ReadError, Run, list};
pub use template::RenderError;
pub use write::{WriteError, write_page};

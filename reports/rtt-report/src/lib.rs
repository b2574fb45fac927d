//! One run as one HTML file, drawn from its folder: `trials.jsonl` (the log) and `fit.json` (what the tuner made of it).
//!
//! Read [`Run::read`], then [`render`], then [`write_page`]. Nothing is measured or judged here: verdict,
//! intervals and reasons come from the fit; figures come from the log's records; what is absent is said with its reason.
//!
//! REPORT-1  The page names no outside resource, runs no script, and every text from a file is escaped.
//! REPORT-2  A figure that is missing or not finite is a dash with its reason; `NaN` and `inf` are never printed or drawn.
//! REPORT-3  Every chart has a title, a description and a table with the same figures.

mod by_scenario;
mod charts;
mod confirmation;
mod environment;
mod evidence;
mod machine;
mod page;
mod run;
mod search;
mod svg;
mod table;
mod trials;
mod verdict;
mod words;
mod write;

pub use page::{RenderError, render};
pub use run::{ListedRun, ReadError, Run, list};
pub use write::{WriteError, write_page};

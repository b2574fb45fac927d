//! A table as the template prints it.

use crate::words::DASH;
use minijinja::{Value, context};

/// One cell.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    class: &'static str,
    reason: String,
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), class: "", reason: String::new() }
    }

    /// A figure: at the right, digits of equal width.
    pub fn figure(text: impl Into<String>) -> Cell {
        Cell { class: "n", ..Cell::text(text) }
    }

    /// A digest, a command or an id.
    pub fn code(text: impl Into<String>) -> Cell {
        Cell { class: "code", ..Cell::text(text) }
    }

    /// A cell of a class of the style sheet.
    pub fn of(class: &'static str, text: impl Into<String>) -> Cell {
        Cell { class, ..Cell::text(text) }
    }

    /// What is missing: a dash and why (REPORT-2).
    pub fn absent(reason: impl Into<String>) -> Cell {
        Cell { text: DASH.into(), class: "absent", reason: reason.into() }
    }

    /// As [`Cell::absent`], with words that hold nevertheless on a line of their own.
    pub fn absent_but(words: &str, reason: &str) -> Cell {
        Cell { text: format!("{DASH}\n{words}"), ..Cell::absent(format!("{reason} ({words})")) }
    }

    /// The figure, or why there is none.
    pub fn or(figure: Option<String>, reason: &str) -> Cell {
        match figure {
            Some(figure) if figure != DASH => Cell::figure(figure),
            Some(_) => Cell::absent("the figure is not finite"),
            None => Cell::absent(reason),
        }
    }

    /// A dash stands where the figures of its column stand.
    fn value(&self, column: &str) -> Value {
        let class = if self.class == "absent" && column.starts_with('#') { "absent n" } else { self.class };
        context! { text => self.text.as_str(), class => class, reason => self.reason.as_str() }
    }
}

/// Rows under a head.
#[derive(Clone, Debug, Default)]
pub struct Table {
    caption: String,
    head: Vec<String>,
    rows: Vec<Vec<Cell>>,
    class: &'static str,
}

impl Table {
    /// An empty table. A column whose name begins with `#` holds figures.
    pub fn new(caption: impl Into<String>, head: &[&str]) -> Table {
        Table {
            caption: caption.into(),
            head: head.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
            class: "",
        }
    }

    /// The same table in a class of the style sheet.
    pub fn class(mut self, class: &'static str) -> Table {
        self.class = class;
        self
    }

    /// Adds a row; it has as many cells as the head.
    pub fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.head.len(), "table `{}`: a row does not fit its head", self.caption);
        self.rows.push(cells);
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The table for the template.
    pub fn value(&self) -> Value {
        let head = self.head.iter().map(|name| match name.strip_prefix('#') {
            Some(name) => context! { text => name, class => "n" },
            None => context! { text => name.as_str(), class => "" },
        });
        let rows = self
            .rows
            .iter()
            .map(|row| row.iter().zip(&self.head).map(|(cell, column)| cell.value(column)).collect::<Value>());
        context! {
            caption => self.caption.as_str(),
            class => self.class,
            head => head.collect::<Value>(),
            rows => rows.collect::<Value>(),
        }
    }
}

//! Rows as text in columns, and as CSV.

/// On which side a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A head and rows of one width.
#[derive(Clone, Debug)]
pub struct Layout {
    head: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Layout {
    /// A layout with `head` and no rows.
    pub fn new(head: impl IntoIterator<Item = (impl Into<String>, Align)>) -> Layout {
        Layout { head: head.into_iter().map(|(name, align)| (name.into(), align)).collect(), rows: Vec::new() }
    }

    /// Adds a row, which has as many cells as the head.
    pub fn push(&mut self, row: Vec<String>) {
        assert_eq!(row.len(), self.head.len(), "a row has the head's cells");
        self.rows.push(row);
    }

    /// Columns two spaces apart, a rule below the head, no space at the end of a line. Control characters, which
    /// names in a log may hold, are shown and not sent to the terminal.
    pub fn to_text(&self) -> String {
        let head: Vec<String> = self.head.iter().map(|(name, _)| visible(name)).collect();
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
        let widest = |at: usize| {
            let cells = rows.iter().map(|row| row[at].chars().count());
            cells.chain([head[at].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(widest).collect();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let line = |cells: &Vec<String>| {
            let padded = cells.iter().zip(&widths).zip(&self.head).map(|((cell, &width), (_, align))| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
            let line = padded.collect::<Vec<_>>().join("  ");
            format!("{}\n", line.trim_end())
        };
        [&head, &rule].into_iter().chain(&rows).map(line).collect()
    }

    /// RFC 4180, with line feeds.
    pub fn to_csv(&self) -> String {
        let line = |cells: &[&str]| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\n";
        let head: Vec<&str> = self.head.iter().map(|(name, _)| name.as_str()).collect();
        let rows = self.rows.iter().map(|row| row.iter().map(String::as_str).collect::<Vec<_>>());
        std::iter::once(head).chain(rows).map(|cells| line(&cells)).collect()
    }
}

pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let mut layout = Layout::new([("arm", Align::Left), ("p99", Align::Right), ("note", Align::Left)]);
        layout.push(vec!["incumbent".into(), "7us".into(), String::new()]);
        layout.push(vec!["é\u{1b}[2J".into(), "1.25ms".into(), "a \"b\", c".into()]);
        layout
    }

    #[test]
    fn text_stands_in_columns_and_sends_nothing_to_the_terminal() {
        let expected = "arm           p99  note\n---------  ------  --------\nincumbent     7us\n\
                        é\u{fffd}[2J      1.25ms  a \"b\", c\n";
        assert_eq!(layout().to_text(), expected);
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(layout().to_csv(), "arm,p99,note\nincumbent,7us,\né\u{1b}[2J,1.25ms,\"a \"\"b\"\", c\"\n");
    }
}

//! A table for people, and as CSV.

use crate::{Align, Cell, Layout, Table};

impl Table {
    /// For people: units in the cells, a dash for what is absent.
    pub fn to_text(&self) -> String {
        let key = |cell: &Cell| if *cell == Cell::Absent { "-".to_owned() } else { cell.to_string() };
        let by = self.by.iter().map(|name| (*name, Align::Left));
        let measures = self.query.measures.iter().map(|m| (m.short.unwrap_or(m.name), Align::Right));
        let mut layout = Layout::new(by.chain(measures));
        for row in &self.rows {
            let keys = self.by.iter().map(|name| key(&row[name]));
            let values = self.query.measures.iter().map(|measure| measure.show(&row[measure.name]));
            layout.push(keys.chain(values).collect());
        }
        let notes: String = self.notes.iter().map(|note| format!("note: {note}\n")).collect();
        layout.to_text() + &notes
    }

    /// For programs that read CSV: plain values under names with units; nothing for what is absent.
    pub fn to_csv(&self) -> String {
        let names: Vec<&str> = self.by.iter().chain(&self.measures).copied().collect();
        let mut layout = Layout::new(names.iter().map(|name| (*name, Align::Left)));
        for row in &self.rows {
            layout.push(names.iter().map(|name| row[name].to_string()).collect());
        }
        layout.to_csv()
    }
}

//! What do people read on a terminal? A table with aligned columns.

use std::fmt;

/// Rows under headings; the first column is text, the others are figures.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(headings: &[&str]) -> Table {
        Table { headings: headings.iter().map(|&text| text.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row: a cell for each heading.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.headings.len());
        self.rows.push(cells);
    }

    /// The headings.
    pub fn headings(&self) -> &[String] {
        &self.headings
    }

    /// The rows.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || std::iter::once(&self.headings).chain(&self.rows);
        let width = |at: usize| lines().map(|line| line[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        for line in lines() {
            let cell = |(at, text): (usize, &String)| match at {
                0 => format!("{text:<width$}", width = widths[0]),
                at => format!("{text:>width$}", width = widths[at]),
            };
            let cells: Vec<String> = line.iter().enumerate().map(cell).collect();
            writeln!(f, "  {}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["policy", "loads"]);
        table.row(vec!["naive".into(), "20,000".into()]);
        table.row(vec!["lead".into(), "1".into()]);
        assert_eq!(table.to_string(), "  policy   loads\n  naive   20,000\n  lead         1\n");
    }
}

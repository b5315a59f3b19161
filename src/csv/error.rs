//! What can be wrong with a file, with a row and with an edit.

use super::cell::CellError;
use super::columns::ColumnsError;
use super::dialect::Undecodable;
use super::field::Field;

/// Why a file is no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// There is nothing in it.
    #[error("the file is empty: not even headers")]
    Empty,
    /// Its bytes are no text.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    /// It is a workbook.
    #[error("the file is a workbook and no CSV file; save it as \"CSV UTF-8\"")]
    Workbook,
    /// It has more than 4 GiB.
    #[error("the file is larger than 4 GiB")]
    TooLarge,
    /// A quote in the headers is not closed.
    #[error("a quote in the headers is not closed")]
    UnclosedHeader,
    /// Its headers cannot be used.
    #[error(transparent)]
    Columns(#[from] ColumnsError),
}

/// Why a row is left out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RowError {
    /// It has texts in more cells than there are headers.
    #[error("line {line} has {cells} cells, the headers are {columns}: is a delimiter or a quote missing?")]
    Torn {
        /// The line on which it begins, from 1.
        line: u32,
        /// How many cells it has.
        cells: usize,
        /// How many headers there are.
        columns: usize,
    },
    /// A quote in it is never closed.
    #[error("line {line}: a quote is opened and never closed")]
    UnclosedQuote {
        /// The line on which it begins, from 1.
        line: u32,
    },
    /// One of its cells cannot be used.
    #[error(transparent)]
    Cell(CellError),
    /// It cannot be carried out as a whole, or GitLab did not take all of it.
    #[error("line {line}: {what}")]
    Refused {
        /// The line on which it begins, from 1.
        line: u32,
        /// What is wrong and what was left as it is.
        what: String,
    },
}

impl RowError {
    /// The line on which the row begins, from 1.
    pub const fn line(&self) -> u32 {
        match self {
            Self::Torn { line, .. } | Self::UnclosedQuote { line } | Self::Refused { line, .. } => *line,
            Self::Cell(error) => error.line,
        }
    }
}

/// Why a cell or a row cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no such row, or it is torn.
    #[error("the row cannot be edited: it is not there, or does not have as many cells as there are headers")]
    NoRow,
    /// There is no such column.
    #[error("the file has no column for {0}")]
    NoColumn(Field),
    /// There is such a column already.
    #[error("the file has a column for {0} already")]
    Column(Field),
    /// Where rows end is in doubt from there on, so that an edit could change others.
    #[error(
        "line {line}: a quote is opened and never closed; nothing is written there before that is mended"
    )]
    UnclosedQuote {
        /// The line of the quote, from 1.
        line: u32,
    },
    /// It would have more than 4 GiB.
    #[error("the file would become larger than 4 GiB")]
    TooLarge,
}

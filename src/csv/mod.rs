//! The applications tracker as a spreadsheet: one row a match, in whatever way the file is written.

mod canonical;
pub mod cell;
pub mod columns;
pub mod conflicts_file;
pub mod dates;
mod detect;
pub mod dialect;
pub mod error;
pub mod field;
pub mod file;
pub mod formula;
mod hourly_rate;
mod lock;
pub mod merge;
pub mod numbers;
pub mod plan;
pub mod record;
mod scan;
pub mod sync;
pub mod table;

pub use canonical::SHOWN;
pub use cell::CellError;
pub use columns::{Columns, ColumnsError};
pub use dialect::Dialect;
pub use error::{EditError, RowError, TableError};
pub use field::{Field, Kind, Owner, Row};
pub use file::{CsvFile, FileError, Fingerprint, Written};
pub use merge::{RowPlan, merge};
pub use plan::Plan;
pub use table::Table;

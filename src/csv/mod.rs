//! The applications tracker as a spreadsheet: one row a match, in whatever way the file is written.

pub mod cell;
pub mod columns;
pub mod conflicts;
mod detect;
pub mod dialect;
pub mod error;
pub mod field;
pub mod file;
pub mod formula;
mod lock;
pub mod merge;
pub mod plan;
mod rate;
pub mod record;
mod scan;
mod shown;
pub mod styles;
pub mod sync;
pub mod table;

pub use cell::CellError;
pub use columns::{Columns, ColumnsError};
pub use dialect::Dialect;
pub use error::{EditError, RowError, TableError};
pub use field::{Field, Kind, Owner, Row};
pub use file::{CsvFile, FileError, Fingerprint};
pub use merge::{RowPlan, merge};
pub use plan::Plan;
pub use shown::SHOWN;
pub use table::Table;

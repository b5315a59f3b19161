//! The applications tracker as a spreadsheet: one row a match, in whatever way the file is written.

pub mod cell;
pub mod columns;
mod detect;
pub mod dialect;
pub mod field;
pub mod formula;
mod scan;
pub mod styles;
pub mod table;

pub use cell::CellError;
pub use columns::{Columns, ColumnsError};
pub use dialect::Dialect;
pub use field::{Field, Kind, Owner, Row};
pub use table::{EditError, RowError, Table, TableError};

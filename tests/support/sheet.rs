//! A spreadsheet beside a world, for stories.

#![allow(dead_code, reason = "each story uses a part of it")]

use std::path::PathBuf;

use tempfile::TempDir;
use vorhoelle::csv::CsvFile;
use vorhoelle::csv::sync::{Direction, Outcome, Run};

use crate::support::World;

/// A folder with a spreadsheet in it.
pub struct Sheet {
    _folder: TempDir,
    pub path: PathBuf,
}

impl Sheet {
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("Bewerbungen.csv");
        std::fs::write(&path, text).unwrap();
        Self { _folder: folder, path }
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap()
    }

    pub fn edit(&self, from: &str, to: &str) {
        let text = self.text();
        assert!(text.contains(from), "`{from}` in\n{text}");
        std::fs::write(&self.path, text.replacen(from, to, 1)).unwrap();
    }

    pub async fn run(&self, world: &World, direction: Direction) -> Outcome {
        let file = CsvFile::open(&self.path).unwrap();
        let run = Run::start(&world.engine, &file, direction, usize::MAX).unwrap();
        let outcome = run.carry_out(world.clock.now(), |_| {}).await.unwrap();
        world.settle().await;
        outcome
    }
}

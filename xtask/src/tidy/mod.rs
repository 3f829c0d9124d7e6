//! `cargo xtask tidy`: what no compiler checks.

mod arrows;
mod files;

use std::fs;

use crate::workspace::{Outcome, Workspace};

/// Prints every finding and fails if there is one.
///
/// # Errors
/// Something is not tidy, or the project's files cannot be read.
pub(crate) fn run(workspace: &Workspace) -> Outcome<()> {
    let mut findings = arrows::check(&arrows::edges(&workspace.packages));
    let words = files::forbidden(&workspace.root);
    for file in workspace.files()? {
        // A file that git still lists and somebody just deleted is as tidy as can be; binary files have no lines.
        let Ok(text) = fs::read_to_string(workspace.root.join(&file)) else { continue };
        findings.extend(files::check(&file, &text, &words));
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy");
            Ok(())
        }
        count => Err(format!("{count} findings")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crates_of_this_workspace_point_where_they_should() {
        let workspace = Workspace::find().unwrap();
        assert_eq!(arrows::check(&arrows::edges(&workspace.packages)), Vec::<String>::new());
    }
}

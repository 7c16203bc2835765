//! Arrives: nothing. Leaves: nothing. Promised: one set of features for each third-party crate, whichever package is built.
//!
//! Cargo resolves features for what is built: one package alone asks for fewer than the workspace, and DataFusion with other features
//! is compiled again. This crate asks for all of them, and each crate of the workspace has it among its dev-dependencies, so that it
//! costs a release build nothing.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The names of the dependencies in one table of a manifest; `hydron-*` left out.
    fn dependencies(manifest: &str, table: &str) -> BTreeSet<String> {
        let start = manifest.lines().skip_while(|line| line.trim() != table).skip(1);
        let lines = start.take_while(|line| !line.starts_with('['));
        let names = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['.', ' ', '=']).next());
        names.filter(|name| !name.is_empty() && !name.starts_with("hydron-")).map(str::to_owned).collect()
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[test]
    fn every_dependency_of_the_workspace_is_named_here() {
        // Tests run in the folder of their crate, wherever that was when they were compiled.
        let here = Path::new(".");
        let workspace = dependencies(&read(&here.join("../../Cargo.toml")), "[workspace.dependencies]");
        let ours = dependencies(&read(&here.join("Cargo.toml")), "[dependencies]");
        assert!(!workspace.is_empty());
        assert_eq!(workspace, ours);
    }

    #[test]
    fn every_crate_has_this_one_among_its_dev_dependencies() {
        let crates = Path::new("..");
        for entry in std::fs::read_dir(crates).expect("crates/") {
            let folder = entry.expect("an entry of crates/").path();
            if folder.ends_with("features") {
                continue;
            }
            let manifest = read(&folder.join("Cargo.toml"));
            let named = manifest
                .split("[dev-dependencies]")
                .nth(1)
                .is_some_and(|dev| dev.contains("hydron-features.workspace = true"));
            assert!(named, "{} lacks hydron-features among its dev-dependencies", folder.display());
        }
    }
}

//! Where a native ONNX Runtime may lie.

use std::env;
use std::path::{Path, PathBuf};

/// A library that may be loaded, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) why: String,
}

/// What somebody asked for by name: the first of these that is set.
pub(super) const VARIABLES: [&str; 2] = ["CLIPCORE_ONNXRUNTIME", "ORT_DYLIB_PATH"];

/// Libraries that nobody asked for but that are there: the active Python's, then the system's.
pub(super) fn around() -> Vec<Candidate> {
    let mut found = Vec::new();
    for (variable, why) in [("VIRTUAL_ENV", "the active virtual environment"), ("CONDA_PREFIX", "conda")] {
        if let Some(prefix) = env::var_os(variable).filter(|v| !v.is_empty()) {
            in_prefix(Path::new(&prefix), &format!("{why} ({variable})"), &mut found);
        }
    }
    if let Some(python) = python() {
        in_prefix(&python, "the Python on the PATH", &mut found);
    }
    if let Some(home) = env::var_os("HOME") {
        in_prefix(&Path::new(&home).join(".local"), "the user's Python packages", &mut found);
    }
    for dir in system_dirs() {
        libraries(&dir, "the system's", &mut found);
    }
    found
}

/// The prefix of the Python that `python3` starts.
fn python() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let program = env::split_paths(&path).map(|dir| dir.join("python3")).find(|p| p.is_file())?;
    Some(program.canonicalize().ok()?.parent()?.parent()?.to_path_buf())
}

fn in_prefix(prefix: &Path, why: &str, found: &mut Vec<Candidate>) {
    let mut roots = vec![prefix.join("Lib")];
    for lib in ["lib", "lib64"] {
        let pythons = entries(&prefix.join(lib)).into_iter();
        roots.extend(pythons.filter(|p| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("python3")
        }));
    }
    for root in roots {
        for packages in ["site-packages", "dist-packages"] {
            let capi = root.join(packages).join("onnxruntime").join("capi");
            libraries(&capi, &format!("onnxruntime of {why}"), found);
        }
    }
}

fn system_dirs() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = Vec::new();
    for variable in ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
        dirs.extend(env::var_os(variable).iter().flat_map(env::split_paths).filter(|d| d.is_absolute()));
    }
    let triplet = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    let usual =
        ["/usr/local/lib", &triplet, "/usr/lib64", "/usr/lib", "/opt/onnxruntime/lib", "/opt/homebrew/lib"];
    dirs.extend(usual.map(PathBuf::from));
    dirs
}

/// The ONNX Runtime libraries in a folder, the newest first.
fn libraries(dir: &Path, why: &str, found: &mut Vec<Candidate>) {
    let mut here: Vec<(Vec<u64>, PathBuf)> = entries(dir)
        .into_iter()
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            is_library(&name).then(|| (version(&name), path))
        })
        .collect();
    here.sort_by(|a, b| b.cmp(a));
    for (_, path) in here {
        if !found.iter().any(|c| c.path == path) {
            found.push(Candidate { path, why: why.to_owned() });
        }
    }
}

fn is_library(name: &str) -> bool {
    let stem = name.strip_prefix("lib").unwrap_or(name);
    match stem.strip_prefix("onnxruntime") {
        Some(rest) => {
            rest == ".dll" || rest.starts_with(".so") || (rest.starts_with('.') && rest.ends_with(".dylib"))
        }
        None => false,
    }
}

/// The numbers in a file name, for the order of versions.
fn version(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_runtime_itself_counts_as_its_library() {
        for name in [
            "libonnxruntime.so",
            "libonnxruntime.so.1.24.4",
            "libonnxruntime.1.24.4.dylib",
            "onnxruntime.dll",
        ] {
            assert!(is_library(name), "{name}");
        }
        for name in [
            "libonnxruntime_providers_shared.so",
            "onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so",
            "libonnx.so",
        ] {
            assert!(!is_library(name), "{name}");
        }
    }

    #[test]
    fn the_newest_of_a_folder_comes_first() {
        assert!(version("libonnxruntime.so.1.24.4") > version("libonnxruntime.so.1.9.1"));
    }
}

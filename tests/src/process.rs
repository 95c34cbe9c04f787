//! The real command as a server, on a free loopback port.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::client::Request;
use crate::folder::Folder;
use crate::{binary, soon};

/// A running server; it is killed when dropped.
#[derive(Debug)]
pub struct Process {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where its config is.
    pub folder: Folder,
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

/// How a command ended that was expected to end.
#[derive(Debug)]
pub struct Ended {
    /// Exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Process {
    /// Starts it with a config, to which the address is added.
    pub async fn start(config: &str) -> Process {
        let folder = Folder::new();
        folder.write("interlingua.yaml", &format!("listen: 127.0.0.1:0\n{config}"));
        Process::start_in(folder, &[]).await
    }

    /// Starts it with nothing but these arguments.
    pub async fn start_bare(arguments: &[&str]) -> Process {
        Process::start_in(Folder::new(), arguments).await
    }

    /// Starts it with these arguments in a folder.
    pub async fn start_bare_in(folder: Folder, arguments: &[&str]) -> Process {
        Process::start_in(folder, arguments).await
    }

    /// Starts it in a folder, behind a command of the shell that takes something from it (`ulimit -n 64`).
    pub async fn start_limited(folder: Folder, limit: &str) -> Process {
        let mut shell = std::process::Command::new("sh");
        let binary = binary::path().display().to_string();
        shell.args(["-c", &format!("{limit} && exec \"$0\""), &binary]).env_clear().stdin(Stdio::null());
        Process::spawn(folder, Command::from(shell)).await
    }

    async fn start_in(folder: Folder, arguments: &[&str]) -> Process {
        let mut command = Command::from(binary::command());
        command.args(arguments);
        Process::spawn(folder, command).await
    }

    async fn spawn(folder: Folder, mut command: Command) -> Process {
        command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().expect("the command starts");
        let mut output = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        let line =
            soon("the server's greeting", output.next_line()).await.expect("text").expect("a first line");
        let addr = line.rsplit_once("://").and_then(|(_, addr)| addr.split_whitespace().next()?.parse().ok());
        Process { addr: addr.unwrap_or_else(|| panic!("no address in `{line}`")), folder, child, output }
    }

    /// Its number; none once it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// A request to it.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.addr, method, target)
    }

    /// Its memory that is in use, in bytes.
    pub fn memory(&self) -> usize {
        let id = self.child.id().expect("it lives");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// Sends it a signal (`TERM`, `INT`, `KILL`).
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it lives").to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &id]).status().await.expect("kill runs");
        assert!(status.success(), "kill: {status}");
    }

    /// Waits until it has ended, whatever ended it; what it leaves behind.
    pub async fn gone(mut self) -> Folder {
        soon("the server to end", self.child.wait()).await.expect("it was started");
        self.folder
    }

    /// Waits until it has ended: exit code, and what else it wrote to standard output.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let status = soon("the server to end", self.child.wait()).await.expect("it was started");
        let mut rest = String::new();
        soon("the rest of its output", self.output.get_mut().read_to_string(&mut rest)).await.expect("text");
        (status.code(), rest)
    }
}

/// Runs the command to its end, in a folder.
pub async fn ends(arguments: &[&str], folder: &Folder) -> Ended {
    let mut command = Command::from(binary::command());
    command.args(arguments).current_dir(folder.path()).kill_on_drop(true);
    let output = soon("the command to end", command.output()).await.expect("the command starts");
    Ended {
        code: output.status.code(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

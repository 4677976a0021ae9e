//! Where the container engine is, and what it means when it does not answer.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use tokio::time::timeout;

/// How long an engine may take to answer whether it is there.
pub const GREETING: Duration = Duration::from_secs(5);

/// Why the engine did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// It does not answer: a sentence with the reason and the remedy.
    Unreachable(String),
    /// It answered with this status of HTTP and this message.
    Refused(u16, String),
}

impl EngineError {
    /// Whether it says that what was named is not there.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Refused(404, _))
    }

    /// Whether it says that something of that name, or in that state, is in the way.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(409, _))
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) => f.write_str(reason),
            Self::Refused(_, message) => f.write_str(message.trim()),
        }
    }
}

impl std::error::Error for EngineError {}

/// Where an engine was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Where this node's engines have their sockets.
    Usual,
    /// What `DOCKER_HOST` says.
    Named(String),
}

/// Looks for an engine that answers.
///
/// # Errors
/// A sentence with the reason and the remedy.
pub async fn find() -> Result<(Docker, Place), String> {
    // An empty variable is none, as it is to the engines' own programs.
    if let Some(host) = std::env::var_os("DOCKER_HOST").filter(|host| !host.is_empty()) {
        let host = host.to_string_lossy().into_owned();
        check_host(&host)?;
        let place = Place::Named(host);
        return answer(Docker::connect_with_defaults(), place).await;
    }
    let docker = answer(Docker::connect_with_socket_defaults(), Place::Usual).await;
    let Err(reason) = docker else { return docker };
    let podman = answer(Docker::connect_with_podman_defaults(), Place::Usual).await;
    // Most people who have neither want to hear of Docker.
    podman.map_err(|_| reason)
}

/// Asks an engine for its version, which is the least that it can answer.
async fn answer(docker: Result<Docker, Error>, place: Place) -> Result<(Docker, Place), String> {
    let docker = docker.map_err(|error| place.explain(&error).to_string())?;
    match timeout(GREETING, docker.negotiate_version()).await {
        Ok(Ok(docker)) => Ok((docker, place)),
        Ok(Err(error)) => Err(place.explain(&error).to_string()),
        Err(_) => Err(place.silence(GREETING).to_string()),
    }
}

/// Checks that an engine is on this node.
///
/// # Errors
/// A sentence that says why another cannot be measured.
fn check_host(host: &str) -> Result<(), String> {
    let is_own = |authority: &str| {
        let name = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => authority.split(':').next(),
        };
        let name = name.unwrap_or_default();
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    match host.split_once("://") {
        Some(("unix", _)) => Ok(()),
        Some(("tcp" | "http", rest)) if is_own(rest.split('/').next().unwrap_or_default()) => {
            Ok(())
        }
        Some(("tcp" | "http" | "https" | "ssh", _)) => Err(format!(
            "DOCKER_HOST is {host}: a container on another host cannot reach the socket that \
             workers connect to; unset DOCKER_HOST to use this node's own engine"
        )),
        _ => Err(format!(
            "DOCKER_HOST is {host}, which is no address such as unix:///var/run/docker.sock; \
             unset DOCKER_HOST to use this node's own engine"
        )),
    }
}

impl Place {
    /// What a failed call means.
    pub fn explain(&self, error: &Error) -> EngineError {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                EngineError::Refused(*status_code, message.clone())
            }
            Error::DockerStreamError { error } => EngineError::Refused(500, error.clone()),
            Error::SocketNotFoundError(path) => {
                let path = format!("there is no {path}");
                self.unreachable(ErrorKind::NotFound, &path)
            }
            // It shows the error within as its own, and so is no cause's source.
            Error::IOError { err } => self.unreachable(err.kind(), &err.to_string()),
            error => {
                let (kind, cause) = root_cause(error);
                self.unreachable(kind, &cause)
            }
        }
    }

    /// What it means that no answer came.
    pub fn silence(&self, patience: Duration) -> EngineError {
        let cause = format!("no answer within {} s", patience.as_secs_f64());
        self.unreachable(ErrorKind::TimedOut, &cause)
    }

    fn unreachable(&self, kind: ErrorKind, cause: &str) -> EngineError {
        EngineError::Unreachable(match (self, kind) {
            (_, ErrorKind::PermissionDenied) => format!(
                "the container engine's socket is not for this user ({cause}): \
                 `sudo usermod -aG docker $USER` and a new login let you use it, and so does root"
            ),
            (Self::Named(host), _) => format!(
                "DOCKER_HOST is {host}, and no container engine answers there ({cause}): start \
                 it, or unset DOCKER_HOST to use this node's own engine"
            ),
            (Self::Usual, ErrorKind::NotFound | ErrorKind::ConnectionRefused) => format!(
                "no container engine runs here ({cause}): `cargo xtask setup --with-docker` \
                 installs one and says how it is started"
            ),
            (Self::Usual, _) => format!(
                "the container engine does not answer as it should ({cause}): stop and start it, \
                 as by `sudo systemctl restart docker`"
            ),
        })
    }
}

/// The innermost error: those around it say no more than that something went wrong.
fn root_cause(error: &Error) -> (ErrorKind, String) {
    let mut cause: &dyn std::error::Error = error;
    let mut kind = ErrorKind::Other;
    loop {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            kind = error.kind();
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => return (kind, cause.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_engines_on_this_node_are_used() {
        for host in [
            "unix:///var/run/docker.sock",
            "tcp://localhost:2375",
            "tcp://127.0.0.1:2375/",
            "http://[::1]:2375",
        ] {
            assert_eq!(check_host(host), Ok(()));
        }
        for host in ["tcp://10.0.0.7:2376", "ssh://someone@far", "tcp://localhost.example:2375"] {
            let message = check_host(host).unwrap_err();
            assert!(message.contains(host) && message.contains("another host"), "{message}");
        }
        assert!(check_host("docker.sock").unwrap_err().contains("no address"));
    }

    #[test]
    fn each_reason_has_its_remedy() {
        let refused: Error = io::Error::from(ErrorKind::ConnectionRefused).into();
        let denied: Error = io::Error::from(ErrorKind::PermissionDenied).into();
        let named = Place::Named("unix:///elsewhere".to_owned());
        for (place, error, words) in [
            (&Place::Usual, &refused, "cargo xtask setup --with-docker"),
            (&Place::Usual, &denied, "usermod -aG docker"),
            (&named, &refused, "DOCKER_HOST is unix:///elsewhere"),
            (&named, &denied, "usermod -aG docker"),
        ] {
            let message = place.explain(error).to_string();
            assert!(message.contains(words), "{message}");
        }
        let silence = Place::Usual.silence(Duration::from_secs(5)).to_string();
        assert!(silence.contains("no answer within 5 s"), "{silence}");
    }

    #[test]
    fn an_answer_is_no_absence_of_the_engine() {
        let error = Error::DockerResponseServerError {
            status_code: 404,
            message: "No such image\n".into(),
        };
        let error = Place::Usual.explain(&error);
        assert!(error.is_absence());
        assert_eq!(error.to_string(), "No such image");
    }
}

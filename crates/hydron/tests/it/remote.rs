//! Who may come in: a server that other machines could reach has passwords, or does not start.

use crate::server::{Server, command, free_port};

fn with(server: &Server, headers: &[(&str, &str)], path: &str, body: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent: ureq::Agent = config.into();
    let mut request = agent.post(format!("http://127.0.0.1:{}{path}", server.port));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.send(body).expect("the server answers");
    (response.status().as_u16(), response.body_mut().read_to_string().expect("a text"))
}

#[test]
fn a_server_without_passwords_does_not_listen_for_other_machines() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let out = command(&data, free_port()).args(["--set", "listen_host=0.0.0.0"]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success(), "{said}");
    assert!(said.contains("'default' (empty password)") && said.contains("allow_insecure_remote: 1"), "{said}");
    let allowed = [("listen_host", "0.0.0.0"), ("allow_insecure_remote", "1")];
    assert_eq!(Server::start_with(&data, free_port(), &allowed).ask("select 1").trim(), "1");
}

#[test]
fn users_of_a_file_come_in_over_every_port() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users.yaml");
    std::fs::write(&users, "users: {me: {password: s3cret!}, default: {password: '', networks: '::1'}}").unwrap();
    let rest = free_port().to_string();
    let settings =
        [("listen_host", "0.0.0.0"), ("users_config", users.to_str().unwrap()), ("rest_port", rest.as_str())];
    let mut server = Server::start_with(&dir.path().join("data"), free_port(), &settings);
    let me = [("x-timeplus-user", "me"), ("x-timeplus-key", "s3cret!")];
    assert_eq!(with(&server, &me, "/", "select current_user()"), (200, "me\n".to_string()));
    assert_eq!(with(&server, &[], "/", "select 1").0, 403, "default comes from ::1 alone");
    let (status, wrong) = with(&server, &[("x-timeplus-user", "me"), ("x-timeplus-key", "x")], "/", "select 1");
    assert!(status == 403 && wrong.contains("Code: 516."), "{status}: {wrong}");
    let path = "/proton/v1/sqlformat";
    server.port = rest.parse().unwrap();
    let (status, text) = with(&server, &me, path, r#"{"query": "select 1"}"#);
    assert!(status == 200 && text.contains("SELECT"), "{status}: {text}");
    assert_eq!(with(&server, &[], path, r#"{"query": "select 1"}"#).0, 403);
}

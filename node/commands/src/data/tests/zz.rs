use super::node::Node;
#[test]
fn transcript() {
    let Ok(files) = std::env::var("TRANSCRIPT") else { return };
    let mut node = Node::new();
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    node.engine.now = rejoin_protocol::UnixMillis::new(start);
    let mut out = String::new();
    for file in files.split(',') {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            if line.is_empty() { continue; }
            if let Some(s) = line.strip_prefix("#sleep") { node.pass_millis((s.trim().parse::<f64>().unwrap() * 1000.0) as i64); continue; }
            if line.starts_with('#') { continue; }
            let now = node.engine.now.get();
            let line = line.replace("NOWMS+", &(now + 100000).to_string()).replace("NOWS+", &(now / 1000 + 100).to_string());
            let reply = node.run(&line);
            let log = node.log();
            let log: Vec<&str> = log.split("; ").filter(|l| !l.starts_with("SELECT")).collect();
            out.push_str(&format!("{line} -> {reply} | {}\n", log.join("; ")));
        }
    }
    std::fs::write("/tmp/dataeng/ours.txt", out).unwrap();
}

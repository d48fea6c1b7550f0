//! The cluster's life on a real PostgreSQL: made, killed, brought back, adopted, stopped.

use super::*;

/// A folder of its own, removed with what is in it.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("mailwright-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Scratch(path.canonicalize().unwrap())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} is left behind: {error}", self.0.display());
        }
    }
}

fn kill(pid: u32, signal: libc::c_int) {
    // SAFETY: `kill` touches no memory of ours.
    assert_eq!(unsafe { libc::kill(pid.try_into().unwrap(), signal) }, 0);
}

/// The single value that a query answers, as text.
async fn ask(config: &tokio_postgres::Config, query: &str) -> Result<String, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let row = client.query_one(query, &[]).await?;
    drop(client);
    connection.await.unwrap()?;
    row.try_get(0)
}

/// Lets `keep` work until the server answers as another process than `old`.
async fn brought_back(cluster: &mut Cluster, config: &tokio_postgres::Config, old: u32) {
    let data = cluster.place.data.clone();
    let answers = async {
        loop {
            let file = PidFile::read(&data).unwrap();
            let new = file.is_some_and(|file| file.pid != old && file.status == Status::Ready);
            if new && ask(config, "select 'yes'").await.is_ok() {
                return;
            }
            sleep(LOOK).await;
        }
    };
    let limit = Duration::from_secs(60);
    tokio::select! {
        () = cluster.keep() => unreachable!("keep never returns"),
        answered = timeout(limit, answers) => answered.expect("the server did not come back"),
    }
}

#[tokio::test]
async fn a_cluster_is_made_killed_brought_back_adopted_and_stopped() {
    let scratch = Scratch::new("cluster");
    let dir = scratch.path();
    assert!(Cluster::find(dir).unwrap().is_none());
    let mut cluster = Cluster::open(dir, Options::default()).await.unwrap();
    let config = cluster.connect_config(DATABASE);

    let show = |what: &str| format!("select current_setting('{what}')");
    assert_eq!(ask(&config, "select current_user::text").await.unwrap(), USER);
    assert_eq!(ask(&config, &show("listen_addresses")).await.unwrap(), "");
    assert_eq!(ask(&config, &show("unix_socket_permissions")).await.unwrap(), "0700");
    assert_eq!(ask(&config, &show("jit")).await.unwrap(), "off");
    assert_eq!(ask(&config, &show("fsync")).await.unwrap(), "on");
    assert_eq!(ask(&config, &show("server_encoding")).await.unwrap(), "UTF8");
    assert!(matches!(Cluster::open(dir, Options::default()).await, Err(Error::InUse(_))));

    for signal in [libc::SIGKILL, libc::SIGQUIT] {
        let old = cluster.pid().unwrap();
        kill(old, signal);
        brought_back(&mut cluster, &config, old).await;
        assert_ne!(cluster.pid(), Some(old));
    }

    // A daemon that crashed: its handle is gone, its server is not.
    let pid = cluster.pid().unwrap();
    drop(cluster);
    let mut cluster = Cluster::open(dir, Options::default()).await.unwrap();
    assert_eq!(cluster.pid(), Some(pid));
    assert_eq!(ask(&cluster.connect_config(DATABASE), "select 'yes'").await.unwrap(), "yes");
    let found = Cluster::find(dir).unwrap().expect("it runs");
    assert_eq!(ask(&found, "select current_database()::text").await.unwrap(), DATABASE);

    // An adopted server is kept as well.
    kill(pid, libc::SIGKILL);
    brought_back(&mut cluster, &config, pid).await;

    let pid = cluster.pid().unwrap();
    let data = cluster.place.data.clone();
    cluster.stop().await.unwrap();
    assert!(!is_postmaster(pid, &data));
    assert!(PidFile::read(&data).unwrap().is_none());
    assert!(Cluster::find(dir).unwrap().is_none());
}

#[tokio::test]
async fn a_person_s_settings_win_and_their_mistakes_are_quoted() {
    let scratch = Scratch::new("local");
    let cluster = Cluster::open(scratch.path(), Options::default()).await.unwrap();
    let local = cluster.place.data.join("local.conf");
    cluster.stop().await.unwrap();

    std::fs::write(&local, "max_connections = plenty\n").unwrap();
    let error = Cluster::open(scratch.path(), Options::default()).await.unwrap_err().to_string();
    assert!(error.contains("max_connections") && error.contains("plenty"), "{error}");

    std::fs::write(&local, "max_connections = 33\n").unwrap();
    let cluster = Cluster::open(scratch.path(), Options::default()).await.unwrap();
    let config = cluster.connect_config(DATABASE);
    assert_eq!(ask(&config, "select current_setting('max_connections')").await.unwrap(), "33");
    cluster.stop().await.unwrap();

    std::fs::write(cluster_version(scratch.path()), "14\n").unwrap();
    let error = Cluster::open(scratch.path(), Options::default()).await.unwrap_err();
    assert!(matches!(error, Error::VersionMissing { major: 14, .. }), "{error}");
}

fn cluster_version(data_dir: &Path) -> PathBuf {
    place::data_below(data_dir).join("PG_VERSION")
}

#[tokio::test]
async fn a_folder_that_can_t_be_passed_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new("closed");
    let closed = scratch.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let opened = Cluster::open(&closed.join("data"), Options::default()).await;
    match opened {
        // Only root has to become somebody else.
        Err(Error::NotPassable { parent, .. }) => assert_eq!(parent, closed),
        Ok(cluster) if !cluster.run_as.switch => cluster.stop().await.unwrap(),
        other => panic!("{other:?}"),
    }
}

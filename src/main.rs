//! The program: reads settings, starts the log, and does what it was asked to do.

use std::{
    error::Error,
    io::{self, Write},
    process::{self, ExitCode},
};

use ambient::Random;
use intuned_gateway::{
    app,
    platform::database,
    platform::telemetry,
    settings::{
        self, MigrateSettings, ReassignSettings, Settings, SettingsError, SimulateSettings, Task,
    },
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// Faster than the C library's at what a request allocates, and on glibc `SQLite`: docs/performance.md
/// tells by how much.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The settings are wrong, or the command line is.
const USAGE: u8 = 2;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    if let Err(error) = forbid_core_dumps() {
        return complain(&format!("core dumps cannot be switched off: {error}"), 1);
    }
    refuse_huge_pages();
    let task = settings::read_dot_env()
        .and_then(|()| settings::load(std::env::args_os(), &Random::from_system()));
    let outcome = match task {
        Ok(Task::Serve(settings)) => serve(*settings),
        Ok(Task::Migrate(settings)) => migrate(&settings),
        Ok(Task::Reassign(settings)) => reassign(settings),
        Ok(Task::Schema) => io::stdout()
            .write_all(app::schema().as_bytes())
            .map_err(Into::into),
        Ok(Task::Simulate(settings)) => simulate(settings),
        Err(SettingsError::CommandLine(error)) => error.exit(),
        Err(error) => return complain(&error.to_string(), USAGE),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&chain(&*error), 1),
    }
}

fn serve(settings: Settings) -> Outcome {
    let runtime = Runtime::new()?;
    let _entered = runtime.enter();
    let telemetry = telemetry::start(&settings.log, settings.traces.as_ref())?;
    for note in &settings.notes {
        tracing::warn!("{note}");
    }
    if let Err(error) = allow_all_files() {
        tracing::warn!(%error, "no more files may be open than at the start");
    }
    let served =
        runtime.block_on(async { Box::pin(app::serve(settings, shutdown_on_signal()?)).await });
    telemetry.stop();
    served
}

fn simulate(settings: SimulateSettings) -> Outcome {
    let runtime = Runtime::new()?;
    let _entered = runtime.enter();
    let _telemetry = telemetry::start(&settings.log, None)?;
    runtime.block_on(async { app::simulate(settings, shutdown_on_signal()?).await })
}

fn migrate(settings: &MigrateSettings) -> Outcome {
    let runtime = Runtime::new()?;
    let _entered = runtime.enter();
    let _telemetry = telemetry::start(&settings.log, None)?;
    runtime.block_on(async {
        let database =
            database::connect(&settings.database.url, settings.database.max_connections).await?;
        database::migrate(&database).await?;
        database.close().await?;
        Ok(())
    })
}

fn reassign(settings: ReassignSettings) -> Outcome {
    let runtime = Runtime::new()?;
    let _entered = runtime.enter();
    let _telemetry = telemetry::start(&settings.log, None)?;
    Ok(runtime.block_on(app::reassign(settings))?)
}

/// A core dump would hold every secret that is in memory.
fn forbid_core_dumps() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    // The limit does not apply where the kernel pipes core dumps to a program.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// A huge page is resident as a whole, however little of it is used: of the memory at rest that is a
/// third, and of speed nothing. A kernel that has none refuses, which is as good.
fn refuse_huge_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Every connection is an open file. What shells and systemd allow by default, for the sake of old
/// programs, is 1,024; one client alone may have nearly as many.
fn allow_all_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// Canceled by the first SIGTERM or SIGINT; a second one ends the process on the spot.
fn shutdown_on_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        next(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping; a second signal ends the gateway on the spot");
        token.cancel();
        next(&mut terminate, &mut interrupt).await;
        tracing::warn!("ended by a second signal");
        process::exit(1);
    });
    Ok(shutdown)
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}

/// Tells on stderr why the program ends: there may be no log, or one that leaves this out.
fn complain(message: &str, code: u8) -> ExitCode {
    // There is nobody left to tell that stderr is closed.
    let _ = writeln!(io::stderr(), "error: {}", message.trim_end());
    ExitCode::from(code)
}

/// The error and what caused it, in one line; libraries often repeat the cause in the error.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |chain, cause| {
        let cause = cause.to_string();
        if chain.ends_with(&cause) {
            chain
        } else {
            format!("{chain}: {cause}")
        }
    })
}

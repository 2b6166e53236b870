//! What a virtual board is made of: asked from the compiler pool and the installer.

use std::future::Future;
use std::time::Duration;

use farmhand_api::{EventBody, InstallEvent, Problem};
use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_messages::{CompilerMessage, InstallerMessage};
use farmhand_runtime::ask;
use tokio::sync::mpsc;

use super::Tools;
use crate::problems;
use crate::virtual_uno::{self, Parts};

/// For a package to be installed over a slow network, and a C file to be compiled.
const PARTS_WITHIN: Duration = Duration::from_secs(1800);
/// Steps of an installation that wait to be passed on; a full channel loses steps, never the answer.
const STEPS: usize = 16;

impl Tools {
    /// Has them made, and tells of the steps.
    pub(super) async fn parts(
        &self,
        progress: Option<&mpsc::Sender<EventBody>>,
    ) -> Result<Parts, Box<Problem>> {
        let program = self.told(progress, |install| self.program(install)).await?;
        let core = self.told(progress, |install| self.installed("arduino-avr", install)).await?;
        let simulator = self.told(progress, |install| self.installed("simavr", install)).await?;
        let loader = core.prefix.join(virtual_uno::LOADER);
        if !loader.is_file() {
            return Err(Box::new(problems::no_loader(&self.config.name, &loader)));
        }
        Ok(Parts { program, loader, environment: simulator.environment })
    }

    async fn program(
        &self,
        install: Option<mpsc::Sender<InstallEvent>>,
    ) -> Result<std::path::PathBuf, Box<Problem>> {
        let build = |reply| CompilerMessage::BuildHostProgram {
            program: virtual_uno::program(),
            install: install.clone(),
            reply,
        };
        let answer = ask(&self.ctx.names.compiler(), PARTS_WITHIN, build).await;
        answer.map_err(|error| self.no_answer("the compiler pool", &error))?.map_err(Box::new)
    }

    pub(super) async fn installed(
        &self,
        package: &str,
        progress: Option<mpsc::Sender<InstallEvent>>,
    ) -> Result<Installed, Box<Problem>> {
        let install = |reply| InstallerMessage::Install {
            wish: PackageWish::Named(package.into()),
            progress: progress.clone(),
            reply,
        };
        let answer = ask(&self.ctx.names.installer(), PARTS_WITHIN, install).await;
        answer.map_err(|error| self.no_answer("the installer", &error))?.map_err(Box::new)
    }

    pub(super) fn no_answer(&self, who: &str, error: &farmhand_runtime::AskError) -> Box<Problem> {
        Box::new(problems::no_answer(&self.config.name, who, &error.to_string()))
    }

    /// Runs `work` with a channel for the steps of an installation, which are passed on as they come.
    pub(super) async fn told<R, F: Future<Output = R>>(
        &self,
        progress: Option<&mpsc::Sender<EventBody>>,
        work: impl FnOnce(Option<mpsc::Sender<InstallEvent>>) -> F,
    ) -> R {
        let Some(progress) = progress else { return work(None).await };
        let (tell, mut steps) = mpsc::channel(STEPS);
        let work = work(Some(tell));
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(step) = steps.recv() => {
                    let _slow_reader_loses_it = progress.try_send(EventBody::Install(step));
                }
                done = &mut work => return done,
            }
        }
    }
}

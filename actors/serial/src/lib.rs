//! One serial port, from plug-in to unplug: recorder, readers, one writer.

/** The tests of the monitor once more, with the cgroups that only root may make. */
import '../monitor/monitor.test.js'

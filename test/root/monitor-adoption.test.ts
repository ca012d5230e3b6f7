/** The tests of a monitor that takes over once more, with the cgroups that only root may make. */
import '../monitor/adoption.test.js'

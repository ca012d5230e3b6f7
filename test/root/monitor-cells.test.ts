/** The tests of processes once more, with the cgroups that only root may make. */
import '../io/processes/processes.test.js'

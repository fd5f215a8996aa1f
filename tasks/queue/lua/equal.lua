-- hash of a study's content, time (ms) -> an equal study launched within that time, as in `launched_before`, or nil.
return launched_before(ARGV[1], ARGV[2])

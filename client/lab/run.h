// What a runner of scenarios gets and reports while it works. Both kinds of runners have this face:
//     Result<Record> run_on_processes(const Scenario&, const RunOptions&)   runner.h
//     Result<Record> run_in_simulator(const Scenario&, const RunOptions&)   sim_runner.h
// A Result's error is that nothing could be run (no free port, loyald not found, a scenario that this runner cannot
// do); whatever goes wrong in a run is in Record::failures.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace loyal::lab {

struct Progress {
    double at_s = 0, total_s = 1;
    std::string phase;  // "starting", "before", "during", "after", "reading back", "stopping"
    double ops_per_s = 0;
    std::uint64_t ops = 0;
    std::vector<std::string> broken;  // what is in force now, for people: "replica 0: byzantine equivocate"
    std::string news;                 // something that just happened; empty: nothing
};

struct RunOptions {
    std::uint64_t seed = 0;
    // Processes: where the cluster's folder is made; kept when `keep`. Empty: a new one in the folder for temporaries.
    std::filesystem::path folder;
    bool keep = false;
    std::function<void(const Progress&)> progress;  // often; may be empty
    const std::atomic<bool>* stop = nullptr;        // set from a signal handler: end early, tidy up
};

}  // namespace loyal::lab

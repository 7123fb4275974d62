// Replica: a running `loyald`: Node, sockets, threads and disk together (docs/ARCHITECTURE.md). The event loop's thread
// owns the node, the timers and the sockets; a small pool decodes and checks signatures; one thread commits the log;
// one executes; one writes the state; one serves lagging peers. They exchange values through queues; the loop stops
// reading clients first and peers second when a queue grows too long.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/cluster.h"
#include "config/result.h"
#include "crypto/identity.h"
#include "replica/data_folder.h"

namespace loyal::replica {

struct ReplicaOptions {
    config::Cluster cluster;
    std::uint16_t id = 0;
    // In force from the start, a line as in replica/faults/fault_spec.h; needs cluster.experiments.
    std::string fault = "none";
    // Of this process, the program's name first: crash-recovery starts it again with them. May be empty otherwise.
    std::vector<std::string> arguments = {};
};

class Replica {
 public:
    Replica(ReplicaOptions options, crypto::Identity identity, OpenedData data);
    ~Replica();

    // Opens the three listening sockets. Errc::conflict names the port.
    [[nodiscard]] Result<void> listen();
    // Puts the fault of the options in force; before run(). Errc::invalid_argument says what is wrong with the line.
    [[nodiscard]] Result<void> begin_fault();
    // Serves until SIGTERM, SIGINT or stop(); then everything that was decided is on disk.
    void run();
    // From any thread.
    void stop();

 private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace loyal::replica

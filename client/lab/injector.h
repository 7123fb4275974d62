// Injector: does a scenario's steps to a running cluster, and knows what is broken now. A line that a replica refuses,
// a process that does not start or one that starts although it must not is a failure of the run, never silence.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/lab/lab_cluster.h"
#include "client/lab/record.h"
#include "client/lab/scenario.h"
#include "client/lab/watch.h"

namespace loyal::lab {

class Injector {
 public:
    // All outlive it; `admin` is closed before it ends.
    Injector(LabCluster& cluster, client::Client& admin, Watch& watch, RunClock clock);

    void perform(const Step& step);
    // What ended without having been told to by this.
    void look_for_deaths();
    // Everything but dead processes: faults, links, clocks, disks.
    void heal_all(const std::string& why);
    // Starts whoever does not run.
    void start_dead();

    [[nodiscard]] std::vector<std::string> broken() const;
    [[nodiscard]] std::vector<std::uint16_t> dead() const;
    [[nodiscard]] std::vector<std::string> take_failures();
    // Something was said since the last call, for a person who watches.
    [[nodiscard]] std::string take_news();
    // Answers to lines that are still awaited.
    [[nodiscard]] bool settled() const;

 private:
    struct Shared;
    [[nodiscard]] std::vector<std::uint16_t> who(const Target& target) const;
    void tell(std::uint16_t id, const std::string& line);
    void perform_net(const Step& step);
    void kill(const std::vector<std::uint16_t>& ids);
    void change_disk(const Step& step, std::uint16_t id);
    void start(std::uint16_t id);
    void expect_refusal(std::uint16_t id);
    void note(Event::Kind kind, std::optional<std::uint16_t> replica, const std::string& text);
    void failure(const std::string& text);
    void set_broken(const std::string& what, const std::string& text);
    void clear_broken(const std::string& prefix);

    LabCluster& cluster_;
    client::Client& admin_;
    Watch& watch_;
    RunClock clock_;
    std::uint16_t replicas_;
    std::set<std::uint16_t> dead_;               // ended by kill or of themselves
    std::set<std::uint16_t> told_to_crash_;      // by a fault line: their ends are no surprise
    std::map<std::string, std::string> broken_;  // what -> in words
    std::map<std::string, double> paused_until_s_;
    std::string news_;
    std::shared_ptr<Shared> shared_;
};

}  // namespace loyal::lab

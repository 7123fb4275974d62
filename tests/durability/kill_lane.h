// KillLane: one cluster on which kill points are tried one after the other: a small fixed workload runs, a replica dies
// at one of its calls that write or sync a file, starts again, and what was acknowledged is there. Several lanes may
// run at once, each on a thread of its own.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/lab/record.h"
#include "tests/durability/fleet.h"
#include "tests/durability/parts.h"
#include "tests/durability/switch_file.h"

namespace loyal::durability {

enum class KillRole {
    backup,
    primary,
    starting,  // away for a moment: it executes blocks again, and fetches some
    fetching,  // away for so long that the others have forgotten those blocks: it fetches the state
};

// At the n-th call of its kind, counted from a cluster at rest, or from the start of the process. Of its kind, because
// what threads do beside each other has no order: a rare call would be met by chance only.
struct KillPoint {
    KillRole role = KillRole::backup;
    KillHow how = KillHow::before;
    FileCall call = call_pwrite;
    std::uint64_t n = 1;
};

using CallCounts = std::array<std::uint64_t, file_calls>;

struct KillSums {
    std::uint64_t points = 0, covered = 0;  // covered: the process died of it, at the call with that number
    std::uint64_t operations = 0, acknowledged = 0, lost = 0, violations = 0, proofs = 0;
    std::uint64_t syncs_after = 0;                 // of a file whose sync had failed
    std::map<std::string, std::uint64_t> by_kind;  // "log sync" and so on
    std::vector<std::string> troubles;

    KillSums& operator+=(const KillSums& more);
};

class KillLane {
 public:
    // Makes a cluster below the folder and waits until it is at rest.
    explicit KillLane(const std::filesystem::path& folder);
    KillLane(const KillLane&) = delete;
    KillLane& operator=(const KillLane&) = delete;

    // How many points there are: calls of one workload, or of one start, that nothing disturbs.
    [[nodiscard]] CallCounts count(KillRole role);
    // The workload goes on for as long as it takes to get to the call, so every point is met.
    [[nodiscard]] KillSums attempt(const KillPoint& point);

 private:
    void start(std::uint16_t id) { fleet_->start(id, switches_[id]->environment()); }
    void note(const std::string& trouble);
    [[nodiscard]] std::uint16_t choose(KillRole role);
    [[nodiscard]] lab::Operation put(std::size_t i);
    // Several writes in a row were not done: a trouble, which says how the replicas are, and nothing more is waited
    // for.
    [[nodiscard]] bool stuck() const;
    // Every other replica is started anew, so that none keeps blocks for the victim, who fetched from them before.
    void let_peers_forget(std::uint16_t victim);
    // Killed, and started again after the others went on without it; what they did is added to the operations.
    void go_away(std::uint16_t victim, KillRole role, std::vector<lab::Operation>& operations);
    void await_start(std::uint16_t victim);
    void change_view();
    void bring_back(std::uint16_t victim, KillHow how);
    void judge(std::vector<lab::Operation> operations);

    std::unique_ptr<Fleet> fleet_;
    std::vector<std::unique_ptr<SwitchFile>> switches_;
    std::unique_ptr<client::Client> client_;
    std::uint64_t rounds_ = 0;
    std::size_t unanswered_ = 0;  // writes in a row
    KillSums sums_;               // of the point that is tried
};

}  // namespace loyal::durability

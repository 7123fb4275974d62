// Churn: the same keys overwritten for a long time. Old blocks are forgotten behind stable checkpoints and pages that
// were freed are used again, so neither the log nor the state grows for ever. Then the largest blocks that there can
// be, with the smallest quota of the log that the cluster file may give: it must never be in the way.
#include <sys/stat.h>

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "config/limits.h"
#include "config/log_quota.h"
#include "tests/durability/fleet.h"
#include "tests/durability/http.h"
#include "tests/durability/parts.h"
#include "tests/durability/pump.h"

namespace loyal::durability {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t key_count = 2'000;
constexpr int samples = 12;
constexpr double mib = 1024.0 * 1024.0;
// Of the second half over the first: pages in which freed ones are listed come and go.
constexpr double growth_max = 1.15;

double on_disk_mib(const fs::path& folder) {
    double sum = 0;
    std::error_code error;
    for (auto entry = fs::recursive_directory_iterator(folder, error);
         !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
        struct stat status {};
        if (::stat(entry->path().c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
            sum += static_cast<double>(status.st_blocks) * 512 / mib;
        }
    }
    return sum;
}

void overwrite(const Settings& settings, Report& report) {
    const auto time = settings.full ? 300s : 24s;
    FleetOptions options;
    options.history_revisions = key_count;  // it fills up within the first samples
    Fleet fleet(settings.folder / "cluster", options);
    fleet.start_all();
    const std::string settled = fleet.settle();
    report.check(settled.empty(), "four replicas, a checkpoint every 64 blocks " + settled);
    const std::uint16_t port = fleet.cluster().replicas[0].http_port;
    Pump pump(fleet.open_client("default", 20'000), 64, 0, [](std::uint64_t i) {
        return kvstore::Put{bulk_key(i % key_count), bulk_value(i % key_count, i / key_count)};
    });
    std::vector<double> folders;
    report.line("    s  overwrites  height  stable  written MiB  data folder MiB  log MiB  state MiB");
    for (int i = 1; i <= samples; ++i) {
        std::this_thread::sleep_for(time / samples);
        folders.push_back(on_disk_mib(fleet.data(0)));
        const nlohmann::json row = fleet.status()[0];
        const std::uint64_t done = pump.done();
        report.line(fmt::format(
            "{:5d}  {:10d}  {:6}  {:6}  {:11.1f}  {:15.1f}  {:7.1f}  {:9.1f}", (time / samples * i).count(), done,
            row.is_object() ? row["executed"].dump() : "-", row.is_object() ? row["stable_checkpoint"].dump() : "-",
            static_cast<double>(done) * (64 + 256) / mib, folders.back(),
            metric(port, "loyal_log_bytes").value_or(0) / mib, metric(port, "loyal_db_bytes").value_or(0) / mib));
    }
    pump.stop();
    const double early = *std::max_element(folders.begin(), folders.begin() + samples / 2);
    const double late = *std::max_element(folders.begin() + samples / 2, folders.end());
    const nlohmann::json row = fleet.status()[0];
    const bool stable = row.is_object() && row["stable_checkpoint"].is_number() && row["stable_checkpoint"] > 0;
    const double written = static_cast<double>(pump.done()) * (64 + 256) / mib;
    report.check(pump.failed() == 0,
                 fmt::format("{} overwrites of {} keys, {} failed", pump.done(), key_count, pump.failed()));
    report.check(stable, "checkpoints become stable");
    report.check(
        late <= early * growth_max + 1,
        fmt::format("{:.0f} MiB of keys and values written into a data folder of at most {:.1f} MiB in the first "
                    "half and {:.1f} MiB in the second",
                    written, early, late));
    const std::string after = fleet.settle();
    report.check(after.empty(), "all replicas have the same state afterwards " + after);
}

// A compare-and-set carries two values: one fills a block.
void largest_blocks(const Settings& settings, Report& report) {
    FleetOptions options;
    options.checkpoint_interval = 32;
    options.log_quota_bytes = config::log_quota_bytes_min(options.checkpoint_interval);
    Fleet fleet(settings.folder / "largest", options);
    fleet.start_all();
    const std::string settled = fleet.settle();
    const std::uint64_t count = 400;
    const Bytes value(limits::value_bytes_max);
    Pump pump(fleet.open_client("default", 60'000), 3, count, [&](std::uint64_t i) {
        return kvstore::CompareAndSet{bulk_key(i % 4), i < 4 ? std::optional<Bytes>() : value, value};
    });
    double largest = 0;
    while (pump.done() + pump.failed() < count) {
        std::this_thread::sleep_for(200ms);  // replicas look at their disks once a second
        for (const config::ReplicaEntry& replica : fleet.cluster().replicas) {
            largest = std::max(largest, metric(replica.http_port, "loyal_log_bytes").value_or(0));
        }
    }
    const std::string after = fleet.settle(60s);
    const nlohmann::json row = fleet.status()[0];
    const bool stable = row.is_object() && row["stable_checkpoint"].is_number() && row["stable_checkpoint"] > 0;
    report.check(
        settled.empty() && after.empty() && stable && pump.failed() == 0 &&
            largest < static_cast<double>(options.log_quota_bytes) / 8 * 7,
        fmt::format("{} writes of 2 MiB, {} refused: a log of at most {:.0f} MiB, with the smallest quota that "
                    "an interval of {} allows, {:.0f} MiB {}{}",
                    pump.done(), pump.failed(), largest / mib, options.checkpoint_interval,
                    static_cast<double>(options.log_quota_bytes) / mib, settled, after));
}

}  // namespace

void churn(const Settings& settings, Report& report) {
    overwrite(settings, report);
    if (settings.full) {
        largest_blocks(settings, report);
    }
}

}  // namespace loyal::durability

// loyal-durability: drives real replicas through what takes data away, and prints figures (docs/DURABILITY.md).
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <random>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "crypto/identity.h"
#include "tests/durability/parts.h"

namespace {

using loyal::durability::Report;
using loyal::durability::Settings;

struct Part {
    const char* name;
    const char* what;
    void (*run)(const Settings&, Report&);
};
constexpr Part parts[] = {
    {"power", "power cuts of replicas under load, each on an ext4 of its own", loyal::durability::power_cuts},
    {"kill", "a kill at every write and sync call of a fixed workload", loyal::durability::kill_points},
    {"full", "full disks: one of four, all four", loyal::durability::full_disks},
    {"churn", "the same keys overwritten for a long time", loyal::durability::churn},
    {"flips", "single bits of a replica's data files", loyal::durability::bit_flips},
    {"catch-up", "a replica far behind, and restarts with a large state", loyal::durability::catch_up},
};

// What a part needs is made below, and goes whatever happens.
class Scratch {
 public:
    explicit Scratch(const std::filesystem::path& parent) {
        std::string pattern = (parent / "loyal-durability.XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) {
            throw std::runtime_error("cannot make " + pattern);
        }
        path_ = pattern;
    }
    ~Scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
    std::filesystem::path path_;
};

void run_part(const Part& part, Settings settings, const std::filesystem::path& parent, Report& report) {
    report.begin(part.name, part.what);
    try {
        const Scratch scratch(parent);
        settings.folder = scratch.path();
        part.run(settings, report);
    } catch (const std::exception& error) {
        report.check(false, fmt::format("{}: {}", part.name, error.what()));
    }
    report.end();
}

}  // namespace

int main(int count, char** words) {
    CLI::App app{"Nothing lost: what replicas do when power, processes and disks fail"};
    Settings settings;
    settings.seed = std::random_device()();
    std::vector<std::string> chosen;
    std::string folder = std::filesystem::temp_directory_path().string();
    app.add_flag("--long", settings.full, "The figures of docs/DURABILITY.md; without it a few of each");
    app.add_option("--seed", settings.seed, "Of everything that is random");
    app.add_option("--folder", folder, "For clusters and disks")->check(CLI::ExistingDirectory);
    app.add_option("part", chosen, "Which; all if none is named");
    CLI11_PARSE(app, count, words);
    loyal::crypto::initialize();
    const auto known = [](const std::string& name) {
        return std::any_of(std::begin(parts), std::end(parts), [&](const Part& part) { return part.name == name; });
    };
    if (const auto bad = std::find_if_not(chosen.begin(), chosen.end(), known); bad != chosen.end()) {
        std::fprintf(stderr, "loyal-durability: no part is called %s\n", bad->c_str());
        return 2;
    }
    Report report;
    for (const Part& part : parts) {
        if (chosen.empty() || std::find(chosen.begin(), chosen.end(), part.name) != chosen.end()) {
            run_part(part, settings, folder, report);
        }
    }
    return report.finish();
}

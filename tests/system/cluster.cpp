#include "tests/system/cluster.h"

#include <unistd.h>

#include <fstream>
#include <iterator>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/system/scratch.h"

namespace loyal::system_test {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write_text(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
}

ClusterOfProcesses::ClusterOfProcesses(const std::vector<std::string>& init) {
    std::string pattern = (scratch_folder() / "cluster-XXXXXX").string();
    scratch_ = ::mkdtemp(pattern.data());
    folder_ = scratch_ / "cluster";
    std::vector<std::string> words = {"cluster", "init", folder_.string(), "--base-port", "0"};
    words.insert(words.end(), init.begin(), init.end());
    const Ran ran = loyal(words);
    if (ran.exit != 0) {
        throw std::runtime_error("cluster init: " + ran.error);
    }
}

ClusterOfProcesses::~ClusterOfProcesses() {
    (void)loyal({"cluster", "down", "--timeout", "5s"});
    if (::testing::Test::HasFailure()) {
        std::fprintf(stderr, "%s", all_logs().c_str());
    }
    std::error_code ignored;
    fs::remove_all(scratch_, ignored);
}

void ClusterOfProcesses::up(const std::vector<std::string>& options) {
    std::vector<std::string> words = {"cluster", "up"};
    words.insert(words.end(), options.begin(), options.end());
    const Ran ran = loyal(words);
    ASSERT_EQ(ran.exit, 0) << ran.out << ran.error;
}

Ran ClusterOfProcesses::down(const std::vector<std::string>& options) const {
    std::vector<std::string> words = {"cluster", "down"};
    words.insert(words.end(), options.begin(), options.end());
    return loyal(words);
}

Ran ClusterOfProcesses::loyal(const std::vector<std::string>& words, const std::string& input,
                              std::chrono::seconds limit) const {
    std::vector<std::string> command = {(program_folder() / "loyal").string(), "--cluster", folder_.string()};
    command.insert(command.end(), words.begin(), words.end());
    return run(command, {input, {}}, limit);
}

std::unique_ptr<Process> ClusterOfProcesses::start_loyal(const std::vector<std::string>& words) const {
    std::vector<std::string> command = {(program_folder() / "loyal").string(), "--cluster", folder_.string()};
    command.insert(command.end(), words.begin(), words.end());
    return std::make_unique<Process>(command);
}

std::unique_ptr<Process> ClusterOfProcesses::start_loyald(int id) const {
    return std::make_unique<Process>(std::vector<std::string>{(program_folder() / "loyald").string(), "--config",
                                                              (folder_ / "cluster.toml").string(), "--id",
                                                              std::to_string(id)});
}

nlohmann::json ClusterOfProcesses::status() const {
    return nlohmann::json::parse(loyal({"status", "-w", "json"}).out, nullptr, false);
}

nlohmann::json ClusterOfProcesses::status_of(int id) const {
    const nlohmann::json all = status();
    return all.is_object() ? all["replicas"][static_cast<std::size_t>(id)] : nlohmann::json();
}

std::optional<int> ClusterOfProcesses::primary() const {
    const nlohmann::json all = status();
    std::optional<int> found;
    std::uint64_t view = 0;
    for (const auto& row : all.is_object() ? all["replicas"] : nlohmann::json::array()) {
        if (row["role"] == "primary" && row["view"].is_number() &&
            (!found || row["view"].get<std::uint64_t>() > view)) {
            found = row["id"].get<int>();
            view = row["view"].get<std::uint64_t>();
        }
    }
    return found;
}

int ClusterOfProcesses::await_primary() const {
    std::optional<int> found;
    EXPECT_TRUE(eventually([&] { return (found = primary()).has_value(); })) << "no primary";
    return found.value_or(0);
}

bool ClusterOfProcesses::caught_up(int id) const {
    const nlohmann::json all = status();
    if (!all.is_object() || all["replicas"][static_cast<std::size_t>(id)]["reachable"] != true) {
        return false;
    }
    const nlohmann::json& own = all["replicas"][static_cast<std::size_t>(id)]["executed"];
    for (const auto& row : all["replicas"]) {
        if (row["reachable"] == true && row["executed"] != own) {
            return false;
        }
    }
    return true;
}

pid_t ClusterOfProcesses::pid_of(int id) const {
    const std::string text = read_text(folder_ / "run" / ("replica-" + std::to_string(id) + ".pid"));
    return text.empty() ? -1 : std::stoi(text);
}

void ClusterOfProcesses::kill(int id) const {
    const pid_t pid = pid_of(id);
    ASSERT_GT(pid, 1);
    kill_and_wait(pid);
}

std::string ClusterOfProcesses::get(const std::string& key) const {
    const Ran ran = loyal({"get", key});
    return ran.exit == 0 ? ran.out : "<" + std::to_string(ran.exit) + ">";
}

std::string ClusterOfProcesses::log_of(int id) const {
    return read_text(folder_ / "run" / ("replica-" + std::to_string(id) + ".log"));
}

std::string ClusterOfProcesses::all_logs() const {
    std::string text;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder_ / "run", ignored)) {
        if (entry.path().extension() == ".log") {
            const std::string log = read_text(entry.path());
            text += "---- " + entry.path().filename().string() + "\n" +
                    log.substr(log.size() > 4'000 ? log.size() - 4'000 : 0);
        }
    }
    return text;
}

}  // namespace loyal::system_test

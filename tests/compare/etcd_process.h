// A real etcd of one member, in a temporary folder and on 127.0.0.1, that ends with its object.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tests/system/process.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::compare {

class EtcdProcess {
 public:
    // The program, as PATH finds it; nothing when it is not installed.
    [[nodiscard]] static std::optional<std::filesystem::path> installed();

    // Starts it and returns when it answers. Throws std::runtime_error, with its log, when it does not.
    EtcdProcess();
    [[nodiscard]] std::uint16_t port() const { return port_; }
    // As it says it, such as "3.4.23".
    [[nodiscard]] std::string version() const;

 private:
    // False: it ended, because somebody else took its port.
    bool start(const std::filesystem::path& program, int attempt);
    [[nodiscard]] bool answers() const;

    kvstore::test::TemporaryFolder folder_;
    std::uint16_t port_ = 0;
    std::unique_ptr<system_test::Process> process_;  // ends before the folder goes
};

}  // namespace loyal::compare

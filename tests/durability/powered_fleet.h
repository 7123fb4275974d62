// PoweredFleet: a Fleet whose replicas have a disk each, an ext4 in an image, which can lose power with them.
// Single-threaded.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/durability/disks.h"
#include "tests/durability/fleet.h"

namespace loyal::durability {

class PoweredFleet {
 public:
    // Makes and mounts the disks below the folder; starts nobody. The error says why that cannot be done here.
    [[nodiscard]] static Result<std::unique_ptr<PoweredFleet>> make(const std::filesystem::path& folder);
    ~PoweredFleet();
    PoweredFleet(const PoweredFleet&) = delete;
    PoweredFleet& operator=(const PoweredFleet&) = delete;

    [[nodiscard]] Fleet& fleet() { return *fleet_; }
    // From now on its disk takes nothing; the process lives on.
    [[nodiscard]] Result<void> cut(std::uint16_t id) const { return disks_[id].cut(); }
    // The disk is checked and mounted again. Expects the process to have ended.
    [[nodiscard]] Result<void> power_back(std::uint16_t id) const;

 private:
    PoweredFleet() = default;

    std::vector<Ext4Disk> disks_;
    std::unique_ptr<Fleet> fleet_;
};

}  // namespace loyal::durability

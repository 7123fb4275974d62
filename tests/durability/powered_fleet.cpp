#include "tests/durability/powered_fleet.h"

#include <unistd.h>

#include <fmt/format.h>

namespace loyal::durability {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t disk_bytes = 512U << 20U;  // sparse

fs::path disk_at(const fs::path& folder, std::uint16_t id) {
    return folder / fmt::format("disk-{}", id);
}

}  // namespace

Result<std::unique_ptr<PoweredFleet>> PoweredFleet::make(const fs::path& folder) {
    if (const auto entered = enter_private_mounts(); !entered) {
        return tl::unexpected(entered.error());
    }
    for (const char* program : {"mkfs.ext4", "e2fsck", "mount"}) {
        if (!find_program(program)) {
            return fail(Errc::not_found, std::string(program) + " is not installed");
        }
    }
    std::unique_ptr<PoweredFleet> made(new PoweredFleet);
    FleetOptions options;
    fs::create_directories(folder);
    for (std::uint16_t id = 0; id < options.replicas; ++id) {
        Result<Ext4Disk> disk = Ext4Disk::make(folder / fmt::format("{}.img", id), disk_at(folder, id), disk_bytes);
        if (!disk) {
            return tl::unexpected(disk.error());
        }
        if (const auto mounted = disk->mount(); !mounted) {
            return fail(mounted.error().code, "no loop device can be mounted here: " + mounted.error().message);
        }
        made->disks_.push_back(std::move(*disk));
    }
    options.data = [folder](std::uint16_t id) { return disk_at(folder, id) / "data"; };
    made->fleet_ = std::make_unique<Fleet>(folder / "cluster", options);
    ::sync();  // the birth records are from before the first cut
    return made;
}

PoweredFleet::~PoweredFleet() {
    fleet_.reset();
    for (const Ext4Disk& disk : disks_) {
        (void)disk.unmount();
    }
}

Result<void> PoweredFleet::power_back(std::uint16_t id) const {
    if (const auto unmounted = disks_[id].unmount(); !unmounted) {
        return unmounted;
    }
    if (const auto checked = disks_[id].check(); !checked) {
        return checked;
    }
    return disks_[id].mount();
}

}  // namespace loyal::durability

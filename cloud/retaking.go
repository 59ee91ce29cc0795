package cloud

import "github.com/busbar/busbar/cloud/log"

// OpenPicker makes what reads single records of the cloud's log, beside a cloud that
// runs. dir is what file names in the configuration are relative to.
func OpenPicker(config Config, dir string) (*log.Picker, error) {
	options, _, err := connection(config, dir)
	if err != nil {
		return nil, err
	}
	return log.OpenPicker(options)
}
